"""An example of each verb, for its help."""

EXAMPLES = {
    "binder": "--listen 10.0.0.1:2222 --peer 10.0.0.2:2222",
    "server": "--type echo --binder 10.0.0.1:2222 --binder 10.0.0.2:2222",
    "run": "--type web --port 8080 -- python3 -m http.server 8080",
    "announce": "--type db --at 10.0.0.5:5432 --check tcp",
    "client": "--type echo --message salut",
    "lookup": "echo --binder 10.0.0.1:2222",
    "exec": "web --complain-on 7,28 -- curl --fail http://{}/",
    "list": "--output json",
    "status": "--binder 127.0.0.1:2222",
    "health": "--binder 10.0.0.1:2222 --binder 10.0.0.2:2222",
    "top": "--binder 127.0.0.1:2222",
    "why": "echo 10.0.0.7:4242",
    "drain": "echo 10.0.0.7:4242 --for 30m --why upgrade",
    "undrain": "echo 10.0.0.7:4242",
    "key": "server --type billing --id web-7 cluster.key > web-7.key",
    "key new": "> cluster.key",
    "key rotate": "cluster.key",
    "key prune": "cluster.key",
    "key server": "--type billing --id web-7 cluster.key > web-7.key",
    "key client": "--id app cluster.key > app.key",
    "key operator": "--id me cluster.key > me.key",
    "key show": "web-7.key",
    "watch": "billing --http 127.0.0.1:8080",
    "demo": "--kill D",
}
"""The arguments of the example in each verb's help."""

NO_SETTINGS = ("demo", "key")
"""Verbs that read no file of settings, nor variables."""
