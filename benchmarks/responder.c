/* The limit: lookups answered by C, up to 64 for each system call.

   responder FILE: instances of 7 bytes (type, ip, port). Prints the port it has on 127.0.0.1, then
   answers each 2-byte lookup with code 3 and an address of its type, in turn. The answers to one
   sender that stand in a row leave as one send, which the kernel cuts (UDP_SEGMENT), as a binder's
   do. Ends when nobody has asked for a minute. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

enum { BURST = 64, ROOM = 2048, INSTANCE = 7, TYPES = 256, SILENCE_S = 60, BUFFER = 8 << 20 };

static unsigned char *answers[TYPES];
static size_t counts[TYPES], turns[TYPES];
static unsigned char data[BURST][ROOM], told[BURST][INSTANCE];
static struct sockaddr_in names[BURST];
static struct iovec in_parts[BURST], out_parts[BURST];
static struct mmsghdr in[BURST], out[BURST];
static union { struct cmsghdr head; char room[CMSG_SPACE(sizeof(uint16_t))]; } cut;

static void read_instances(const char *path) {
    unsigned char one[INSTANCE];
    FILE *file = fopen(path, "rb");
    if (!file) { perror(path); exit(2); }
    while (fread(one, INSTANCE, 1, file) == 1) counts[one[0]]++;
    for (int type = 0; type < TYPES; type++)
        if (!(answers[type] = malloc(counts[type] * INSTANCE + 1))) exit(1);
    memset(counts, 0, sizeof counts);
    rewind(file);
    while (fread(one, INSTANCE, 1, file) == 1) {
        int type = one[0];
        one[0] = 3;
        memcpy(answers[type] + INSTANCE * counts[type]++, one, INSTANCE);
    }
    fclose(file);
}

static int open_socket(void) {
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof here;
    struct timeval silence = {.tv_sec = SILENCE_S};
    int buffer = BUFFER, opened = socket(AF_INET, SOCK_DGRAM, 0);
    setsockopt(opened, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer);
    setsockopt(opened, SOL_SOCKET, SO_RCVTIMEO, &silence, sizeof silence);
    if (bind(opened, (struct sockaddr *)&here, size) ||
        getsockname(opened, (struct sockaddr *)&here, &size)) {
        perror("socket");
        exit(1);
    }
    printf("%d\n", ntohs(here.sin_port));
    fflush(stdout);
    return opened;
}

static int same(const struct sockaddr_in *one, const struct sockaddr_in *other) {
    return one->sin_port == other->sin_port && one->sin_addr.s_addr == other->sin_addr.s_addr;
}

static struct msghdr header(int name, struct iovec *part) {
    return (struct msghdr){.msg_name = &names[name], .msg_namelen = sizeof names[name],
                           .msg_iov = part, .msg_iovlen = 1};
}

/* The answers to a burst: how many sends they are. */
static int answer(int received) {
    int ready = 0, sends = 0;
    for (int n = 0; n < received; n++) {
        int type = data[n][1];
        if (in[n].msg_len != 2 || data[n][0] != 2 || !counts[type]) continue;
        if (turns[type] == counts[type]) turns[type] = 0;
        memcpy(told[ready], answers[type] + INSTANCE * turns[type]++, INSTANCE);
        if (sends && same(out[sends - 1].msg_hdr.msg_name, &names[n])) {
            struct msghdr *row = &out[sends - 1].msg_hdr;
            row->msg_iov->iov_len += INSTANCE;
            row->msg_control = &cut;
            row->msg_controllen = sizeof cut.room;
        } else {
            out_parts[sends] = (struct iovec){told[ready], INSTANCE};
            out[sends].msg_hdr = header(n, &out_parts[sends]);
            sends++;
        }
        ready++;
    }
    return sends;
}

int main(int count, char **arguments) {
    if (count != 2) return 2;
    read_instances(arguments[1]);
    int opened = open_socket();
    cut.head = (struct cmsghdr){CMSG_LEN(sizeof(uint16_t)), IPPROTO_UDP, UDP_SEGMENT};
    *(uint16_t *)CMSG_DATA(&cut.head) = INSTANCE;
    for (int n = 0; n < BURST; n++) {
        in_parts[n] = (struct iovec){data[n], ROOM};
        in[n].msg_hdr = header(n, &in_parts[n]);
    }
    for (;;) {
        int received = recvmmsg(opened, in, BURST, MSG_WAITFORONE, NULL);
        if (received <= 0) return 0; /* silence */
        int sends = answer(received);
        for (int sent = 0, more; sent < sends; sent += more)
            if ((more = sendmmsg(opened, out + sent, sends - sent, 0)) <= 0) break;
    }
}
