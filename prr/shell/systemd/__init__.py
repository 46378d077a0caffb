"""What systemd hands to the process and wants to hear from it."""
