/* One question asked in a closed loop, of every system alike, so that none has a better asker.
 *
 *   generator udp|tcp|h2 PORT SECONDS SOCKETS DEPTH HELLO QUESTION EXPECTED
 *
 * SOCKETS connected sockets on loopback, DEPTH questions in flight on each. The last three are
 * bytes in hexadecimal ("-": none): what to say first on a connection, the question, and what the
 * answer must hold. Every answer must be as long as the first one, which was looked at; with h2
 * (gRPC) an answer is a stream that ends, and QUESTION a HEADERS and a DATA frame whose stream
 * numbers are filled in. Prints: answers, seconds, lost, answers of another length.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

enum { SOCKETS_MAX = 256, DEPTH_MAX = 64, BYTES_MAX = 2048, ROOM = 65536 };
static const double READY_LIMIT = 20, QUIET = 0.05, LOST_AFTER = 0.25; /* seconds */

struct channel {
    int fd, in_flight;
    double heard_at;
    size_t held;             /* bytes of an answer that is not all there */
    unsigned stream;         /* h2: the next stream's number */
    unsigned char head[9];   /* h2: the header of a frame that is not all there */
    size_t head_held, skip;  /* h2: bytes of it that are there, bytes of its payload to come */
};

static struct channel channels[SOCKETS_MAX];
static unsigned char hello[BYTES_MAX], question[BYTES_MAX], expected[BYTES_MAX], room[ROOM];
static size_t hello_size, question_size, expected_size, answer_size;
static int udp, h2, port, depth;
static long answers, lost, odd;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static void fail(const char *what) {
    fprintf(stderr, "generator: %s: %s\n", what, errno ? strerror(errno) : "");
    exit(1);
}

static size_t unhex(const char *text, unsigned char *bytes) {
    size_t size = 0;
    if (!strcmp(text, "-")) return 0;
    for (; text[0] && text[1] && size < BYTES_MAX; text += 2)
        sscanf(text, "%2hhx", &bytes[size++]);
    return size;
}

static int opened(void) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    int fd = socket(AF_INET, (udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC, 0), one = 1;
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0) fail("socket");
    if (connect(fd, (struct sockaddr *)&to, sizeof to)) {
        close(fd);
        return -1;
    }
    if (!udp) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return fd;
}

/* All that comes until it is quiet: for the first answers, whose lengths are not known. */
static size_t read_until_quiet(int fd) {
    struct pollfd one = {.fd = fd, .events = POLLIN};
    size_t size = 0;
    ssize_t count;
    while (size < ROOM && poll(&one, 1, (int)(1000 * QUIET)) > 0) {
        if ((count = recv(fd, room + size, ROOM - size, MSG_DONTWAIT)) <= 0) break;
        size += count;
    }
    return size;
}

static void ask(struct channel *to, int count) {
    static unsigned char many[DEPTH_MAX * BYTES_MAX];
    static struct iovec parts[DEPTH_MAX];
    static struct mmsghdr messages[DEPTH_MAX];
    size_t headers = h2 ? 9 + (question[0] << 16 | question[1] << 8 | question[2]) : 0;
    to->in_flight += count;
    for (int i = 0; i < count; i++) {
        unsigned char *at = memcpy(many + i * question_size, question, question_size);
        if (h2) {
            unsigned stream = htonl(to->stream);
            memcpy(at + 5, &stream, 4);
            memcpy(at + headers + 5, &stream, 4);
            to->stream += 2;
        }
        parts[i] = (struct iovec){question, question_size};
        messages[i].msg_hdr = (struct msghdr){.msg_iov = &parts[i], .msg_iovlen = 1};
    }
    if (udp ? sendmmsg(to->fd, messages, count, 0) != count
            : send(to->fd, many, count * question_size, MSG_NOSIGNAL) != (ssize_t)(count * question_size))
        fail("send");
}

/* The answers that have ended in the first `size` bytes of the room. */
static int ended_streams(struct channel *from, size_t size) {
    int ended = 0;
    for (size_t at = 0; at < size;) {
        size_t left = size - at, want = from->skip ? from->skip : 9 - from->head_held;
        size_t step = left < want ? left : want;
        if (from->skip) {
            from->skip -= step;
        } else {
            memcpy(from->head + from->head_held, room + at, step);
            if ((from->head_held += step) == 9) {
                unsigned char *head = from->head;
                from->head_held = 0;
                from->skip = head[0] << 16 | head[1] << 8 | head[2];
                if (head[3] == 3 || head[3] == 7) odd++; /* RST_STREAM, GOAWAY */
                ended += head[3] == 1 && head[4] & 1;    /* HEADERS with END_STREAM */
            }
        }
        at += step;
    }
    return ended;
}

static int heard_datagrams(struct channel *from) {
    static struct iovec parts[DEPTH_MAX];
    static struct mmsghdr messages[DEPTH_MAX];
    for (int i = 0; i < DEPTH_MAX; i++) {
        parts[i] = (struct iovec){room + i * 1000, 1000};
        messages[i].msg_hdr = (struct msghdr){.msg_iov = &parts[i], .msg_iovlen = 1};
    }
    int count = recvmmsg(from->fd, messages, DEPTH_MAX, MSG_DONTWAIT, NULL);
    if (count < 0) fail("recvmmsg");
    for (int i = 0; i < count; i++) odd += messages[i].msg_len != answer_size;
    return count;
}

static int heard_stream(struct channel *from) {
    ssize_t size = recv(from->fd, room, ROOM, MSG_DONTWAIT);
    if (size <= 0) fail("the server hung up");
    if (h2) return ended_streams(from, size);
    from->held += size;
    int count = from->held / answer_size;
    from->held %= answer_size;
    return count;
}

/* Until the system gives the right answer. */
static void await_ready(void) {
    for (double ends_at = now() + READY_LIMIT; now() < ends_at; usleep(20000)) {
        struct channel first = {.fd = opened(), .stream = 1};
        if (first.fd < 0) continue;
        if (hello_size && send(first.fd, hello, hello_size, MSG_NOSIGNAL) > 0) read_until_quiet(first.fd);
        ask(&first, 1);
        answer_size = read_until_quiet(first.fd);
        close(first.fd);
        if (answer_size && memmem(room, answer_size, expected, expected_size)) return;
    }
    errno = 0;
    fail("no right answer in time");
}

static void open_channel(struct channel *one, int epoll) {
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = one};
    if ((one->fd = opened()) < 0) fail("connect");
    one->stream = 1;
    if (hello_size && send(one->fd, hello, hello_size, MSG_NOSIGNAL) < 0) fail("send");
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, one->fd, &event)) fail("epoll_ctl");
}

static void hear(struct channel *from, double at, int over) {
    int count = udp ? heard_datagrams(from) : heard_stream(from);
    from->heard_at = at;
    from->in_flight -= count;
    if (over) return;
    answers += count;
    if (count) ask(from, count);
}

static long outstanding(int sockets) {
    long count = 0;
    for (int i = 0; i < sockets; i++) count += channels[i].in_flight > 0 ? channels[i].in_flight : 0;
    return count;
}

int main(int argc, char **argv) {
    struct epoll_event ready[SOCKETS_MAX];
    if (argc != 9) fail("eight arguments, please");
    udp = !strcmp(argv[1], "udp");
    h2 = !strcmp(argv[1], "h2");
    port = atoi(argv[2]);
    double seconds = atof(argv[3]);
    int sockets = atoi(argv[4]), epoll = epoll_create1(EPOLL_CLOEXEC);
    depth = atoi(argv[5]);
    if (sockets > SOCKETS_MAX || depth > DEPTH_MAX) fail("too many");
    hello_size = unhex(argv[6], hello);
    question_size = unhex(argv[7], question);
    expected_size = unhex(argv[8], expected);
    await_ready();
    for (int i = 0; i < sockets; i++) open_channel(&channels[i], epoll);
    for (int i = 0; hello_size && i < sockets; i++) read_until_quiet(channels[i].fd);
    double started_at = now(), at = started_at, over_at = started_at + seconds;
    for (int i = 0; i < sockets; i++) ask(&channels[i], depth), channels[i].heard_at = at;
    while (at < over_at || (at < over_at + LOST_AFTER && outstanding(sockets))) {
        int count = epoll_wait(epoll, ready, SOCKETS_MAX, at < over_at ? 50 : 10);
        at = now();
        for (int i = 0; i < count; i++) hear(ready[i].data.ptr, at, at >= over_at);
        for (int i = 0; udp && !count && at < over_at && i < sockets; i++)
            if (at > channels[i].heard_at + LOST_AFTER) {
                lost += channels[i].in_flight;
                channels[i].in_flight = 0;
                channels[i].heard_at = at;
                ask(&channels[i], depth);
            }
    }
    lost += outstanding(sockets);
    printf("%ld %.6f %ld %ld\n", answers, seconds, lost, odd);
    return 0;
}
