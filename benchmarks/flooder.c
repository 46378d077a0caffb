/* A flood of one question, as dense as one core can send it, answered or not.
 *
 *   flooder PORT SECONDS RATE SOCKETS QUESTION
 *
 * SOCKETS connected sockets on loopback, RATE datagrams a second in all, in bursts of 64 that the
 * kernel cuts from one send (UDP_SEGMENT). QUESTION is bytes in hexadecimal. The answers to the
 * first socket are counted; those to the others the kernel drops as they come, so that they cost
 * nothing here. Prints: sent, seconds it took, seconds until the last answer, sent by the first
 * socket, answers to it.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <netinet/udp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { SOCKETS_MAX = 256, BURST = 64, BYTES_MAX = 64, ROOM = 2048, BUFFER = 8 << 20 };
static const double LAST = 0.5; /* seconds for what is still in the queue */

static int sockets[SOCKETS_MAX];
static unsigned char questions[BURST * BYTES_MAX];
static long answers;
static double heard_at;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static void fail(const char *what) {
    fprintf(stderr, "flooder: %s: %s\n", what, errno ? strerror(errno) : "");
    exit(1);
}

static int opened(int port, int size, int is_counted) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct sock_filter nothing[] = {BPF_STMT(BPF_RET | BPF_K, 0)};
    struct sock_fprog program = {1, nothing};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), buffer = BUFFER;
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to)) fail("socket");
    if (setsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &size, sizeof size)) fail("UDP_SEGMENT");
    if (is_counted)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer);
    else if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program))
        fail("SO_ATTACH_FILTER");
    return fd;
}

static void hear(int fd) {
    static unsigned char room[BURST][ROOM];
    static struct iovec parts[BURST];
    static struct mmsghdr messages[BURST];
    int count;
    for (int i = 0; i < BURST; i++) {
        parts[i] = (struct iovec){room[i], ROOM};
        messages[i].msg_hdr = (struct msghdr){.msg_iov = &parts[i], .msg_iovlen = 1};
    }
    while ((count = recvmmsg(fd, messages, BURST, MSG_DONTWAIT, NULL)) > 0) {
        answers += count;
        heard_at = now();
    }
}

int main(int argc, char **argv) {
    if (argc != 6) fail("five arguments, please");
    double seconds = atof(argv[2]), rate = atof(argv[3]);
    int count = atoi(argv[4]), size = strlen(argv[5]) / 2;
    long sent = 0, sampled = 0;
    if (count < 1 || count > SOCKETS_MAX || size < 1 || size > BYTES_MAX) fail("too many, or none");
    for (int i = 0; i < BURST * size; i++) sscanf(argv[5] + 2 * (i % size), "%2hhx", &questions[i]);
    for (int i = 0; i < count; i++) sockets[i] = opened(atoi(argv[1]), size, i == 0);
    double began_at = heard_at = now(), at = began_at;
    for (int turn = 0; at < began_at + seconds; at = now()) {
        if (sent > (at - began_at) * rate) continue;
        if (send(sockets[turn], questions, BURST * size, 0) != BURST * size) fail("send");
        sent += BURST;
        if (turn == 0) {
            sampled += BURST;
            hear(sockets[0]);
        }
        turn = (turn + 1) % count;
    }
    double took = at - began_at;
    for (double over_at = at + LAST; now() < over_at; usleep(1000)) hear(sockets[0]);
    printf("%ld %.6f %.6f %ld %ld\n", sent, took, heard_at - began_at, sampled, answers);
    return 0;
}
