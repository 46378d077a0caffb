/* Questions in bulk, to every system alike, so that none has a better asker.
 *
 * tally.py says how it is run and what it prints. HOW is udp, tcp, h2 (gRPC: an answer is a stream
 * that ends, and the question a HEADERS and a DATA frame whose stream numbers are filled in) or
 * flood. With EXPECTED, all answers must be as long as the first one that holds it.
 *
 * A socket asks its share at once, and again when all of it is answered: the answers come in the
 * order of the questions. One that falls silent over UDP has lost what is missing, and is
 * exchanged, so that what still comes is not taken for the next answers.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

enum {
    SOCKETS_MAX = 960, /* an open loop opens more where all are waiting */
    TARGETS_MAX = 8, QUESTIONS_MAX = 256,
    BATCH = 64,           /* questions in one send; the kernel cuts no more out of it */
    BYTES_MAX = 2048, ROOM = 65536, EACH = ROOM / BATCH, BUFFER = 8 << 20,
    ANSWER_BYTES = 44,    /* of an answer that are kept; the right ones have no more */
    WAITS = 4000000,      /* microseconds; what takes longer counts as so long */
};
static const double READY_LIMIT = 20, QUIET = 0.05; /* seconds */
static const double ANSWER_LIMIT = 1.0; /* of silence, after which what is under way is lost */
static const double LOOK_PAUSE = 0.1;   /* seconds between two looks for silent sockets */
static const double FLOOD_REST = 0.5;   /* seconds for what is in the queue when a flood is over */

struct answer {
    int16_t question; /* -1: unsure */
    uint16_t size;
    unsigned char data[ANSWER_BYTES];
};
struct counted { struct answer answer; unsigned count; };

struct channel {
    int fd, wanted, asked, answered; /* questions at once; of this burst, so far */
    struct sockaddr_in *target;
    double asked_at, active_at;
    size_t held;             /* bytes of an answer that is not all there */
    unsigned stream;         /* h2: the next stream's number */
    unsigned char head[9];   /* h2: the header of a frame that is not all there */
    size_t head_held, skip;  /* h2: bytes of it that are there, bytes of its payload to come */
    int first;               /* the burst's first question */
    struct answer answers[BATCH];
};

static struct channel channels[SOCKETS_MAX];
static struct sockaddr_in targets[TARGETS_MAX];
static unsigned char hello[BYTES_MAX], expected[BYTES_MAX], room[ROOM];
static unsigned char questions[(QUESTIONS_MAX + BATCH) * BYTES_MAX]; /* in turn, from any of them */
static size_t hello_size, question_size, expected_size, answer_size;
static int udp, h2, epoll, target_count, question_count, next_question, opened;
static struct iovec parts[BATCH];
static struct mmsghdr messages[BATCH];
static struct counted *seen; /* a hash table of mask + 1 rows, of which so many are used */
static size_t mask, used, different;
static unsigned waits[WAITS + 1];
static long asked, lost, unasked, odd, asked_by_first, heard_by_first;
static double rate, over_at, looked_at, heard_at;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static void fail(const char *what) {
    fprintf(stderr, "%s%s%s\n", what, errno ? ": " : "", errno ? strerror(errno) : "");
    exit(1);
}

static size_t unhex(const char *text, unsigned char *bytes, size_t most) {
    size_t size = 0;
    for (; size < most && sscanf(text, "%2hhx", &bytes[size]) == 1; text += 2) size++;
    return size;
}

/* Counts an answer; one more than there is room for is odd. */
static void count(const struct answer *answer) {
    uint64_t words[sizeof *answer / 8], hash = 0;
    memcpy(words, answer, sizeof words);
    for (size_t at = 0; at < sizeof words / 8; at++) {
        hash = (hash ^ words[at]) * 0xD6E8FEB86659FD93u;
        hash ^= hash >> 32;
    }
    struct counted *row = &seen[hash & mask];
    while (row->count && memcmp(&row->answer, answer, sizeof *answer)) row = &seen[++hash & mask];
    if (!row->count && used == different) {
        odd++;
    } else if (!row->count++) {
        row->answer = *answer;
        used++;
    }
}

static void make_room(size_t answers) {
    different = answers;
    for (mask = 1; mask < 2 * answers; mask *= 2);
    if (!(seen = calloc(mask--, sizeof *seen))) fail("memory");
}

/* One socket: its system. */

static int connected(struct sockaddr_in *target) {
    int fd = socket(AF_INET, (udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC, 0);
    int one = 1, buffer = BUFFER, size = question_size;
    if (fd < 0) fail("socket");
    if (connect(fd, (struct sockaddr *)target, sizeof *target)) {
        close(fd);
        return -1;
    }
    if (!udp) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (udp) {
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer);
        if (setsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &size, sizeof size)) fail("UDP_SEGMENT");
    }
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

static void greet(int fd) {
    if (hello_size && send(fd, hello, hello_size, MSG_NOSIGNAL) > 0) read_until_quiet(fd);
}

static unsigned char *next_streams(struct channel *to, int count) {
    static unsigned char many[BATCH * BYTES_MAX];
    size_t headers = 9 + (questions[0] << 16 | questions[1] << 8 | questions[2]);
    for (int i = 0; i < count; i++, to->stream += 2) {
        unsigned char *at = memcpy(many + i * question_size, questions, question_size);
        unsigned stream = htonl(to->stream);
        memcpy(at + 5, &stream, 4);
        memcpy(at + headers + 5, &stream, 4);
    }
    return many;
}

static void send_questions(struct channel *to, int count) {
    unsigned char *first = h2 ? next_streams(to, count) : questions + to->first * question_size;
    ssize_t size = count * question_size;
    if (send(to->fd, first, size, MSG_NOSIGNAL) != size && errno != ECONNREFUSED)
        fail("send"); /* who refuses will be silent, too */
}

/* `count` questions that should leave at `when`. */
static void ask(struct channel *to, int count, double when) {
    to->first = next_question;
    next_question = (next_question + count) % question_count;
    send_questions(to, count);
    to->asked = count;
    to->asked_at = when;
    to->active_at = now();
}

/* What is still under way is lost. */
static void end_burst(struct channel *of) {
    int missing = of->asked - of->answered;
    asked += of->asked;
    lost += missing;
    for (int i = 0; i < of->answered && !expected_size; i++) {
        if (missing) of->answers[i].question = -1;
        count(&of->answers[i]);
    }
    of->asked = of->answered = 0;
}

static void open_channel(struct channel *one, struct sockaddr_in *target) {
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = one};
    *one = (struct channel){connected(target), one->wanted, .target = target, .stream = 1};
    if (one->fd < 0) fail("connect");
    greet(one->fd);
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, one->fd, &event)) fail("epoll_ctl");
}

/* What has come. */

static void take(struct channel *from, const unsigned char *data, size_t size, double at) {
    if (from->answered == from->asked) {
        unasked++;
        return;
    }
    double wait = at - from->asked_at;
    struct answer *answer = &from->answers[from->answered];
    waits[wait * 1e6 < WAITS ? (int)(wait * 1e6) : WAITS]++;
    *answer = (struct answer){(from->first + from->answered++) % question_count, size, {0}};
    if (expected_size) odd += size != answer_size;
    else memcpy(answer->data, data, size < ANSWER_BYTES ? size : ANSWER_BYTES);
}

/* The datagrams that wait at a socket, as many as one call takes: in the room, EACH bytes apart. */
static int receive(int fd) {
    for (int i = 0; i < BATCH; i++) {
        parts[i] = (struct iovec){room + i * EACH, EACH};
        messages[i].msg_hdr = (struct msghdr){.msg_iov = &parts[i], .msg_iovlen = 1};
    }
    int count = recvmmsg(fd, messages, BATCH, MSG_DONTWAIT, NULL);
    if (count < 0 && errno != ECONNREFUSED && errno != EAGAIN) fail("recvmmsg");
    return count < 0 ? 0 : count;
}

static void hear_datagrams(struct channel *from, double at) {
    int count = receive(from->fd);
    for (int i = 0; i < count; i++) take(from, room + i * EACH, messages[i].msg_len, at);
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

static void hear_stream(struct channel *from, double at) {
    ssize_t size = recv(from->fd, room, ROOM, MSG_DONTWAIT);
    if (size <= 0) fail("the server hung up");
    int ended = h2 ? ended_streams(from, size) : (int)((from->held + size) / answer_size);
    from->held = (from->held + size) % answer_size;
    for (; ended; ended--) take(from, room, answer_size, at);
}

static void hear(int milliseconds) {
    struct epoll_event events[BATCH];
    int heard = epoll_wait(epoll, events, BATCH, milliseconds);
    double at = now();
    if (heard > 0) heard_at = at;
    for (int i = 0; i < heard; i++) {
        struct channel *from = events[i].data.ptr;
        from->active_at = at;
        if (udp) hear_datagrams(from, at);
        else hear_stream(from, at);
        if (!from->asked || from->answered < from->asked) continue;
        end_burst(from);
        if (!rate && at < over_at) ask(from, from->wanted, at);
    }
}

/* The loads. */

static void exchange_silent(double at) {
    if (!udp || at < looked_at + LOOK_PAUSE) return;
    looked_at = at;
    for (int i = 0; i < opened; i++) {
        struct channel *one = &channels[i];
        if (!one->asked || at < one->active_at + ANSWER_LIMIT) continue;
        end_burst(one);
        close(one->fd);
        open_channel(one, one->target);
        if (!rate && at < over_at) ask(one, one->wanted, at);
    }
}

static struct channel *next_idle(void) {
    static int turn;
    for (int i = 0; i < opened; i++)
        if (!channels[turn = (turn + 1) % opened].asked) return &channels[turn];
    if (opened == SOCKETS_MAX) return NULL;
    open_channel(&channels[opened], &targets[opened % target_count]);
    return &channels[opened++];
}

/* Every question has its moment, and its wait counts from there. When the next one has it. */
static double offer(double at, double began_at) {
    static long offered;
    long due = (long)((at - began_at) * rate) + 1 - offered; /* the first is due at once */
    struct channel *to = due > 0 ? next_idle() : NULL;
    if (to) {
        due = due < BATCH ? due : BATCH;
        ask(to, due, began_at + offered / rate);
        offered += due;
    }
    return began_at + offered / rate;
}

/* Who looked all the time would take the processor from a fleet on the same one. */
static void rest_until(double when) {
    double left = when - now();
    if (left <= 0) return;
    struct pollfd one = {.fd = epoll, .events = POLLIN};
    struct timespec pause = {.tv_nsec = 1e9 * (left < LOOK_PAUSE ? left : LOOK_PAUSE)};
    ppoll(&one, 1, &pause, NULL);
}

static void keep_asking(double began_at) {
    for (int i = 0; i < opened && !rate; i++)
        if (channels[i].wanted) ask(&channels[i], channels[i].wanted, began_at);
    for (double at; (at = now()) < over_at;) {
        if (rate) rest_until(offer(at, began_at));
        hear(rate ? 0 : (int)(1000 * LOOK_PAUSE));
        exchange_silent(at);
    }
}

static void drain(void) {
    int left = 1;
    for (double at, end_at = now() + 2 * ANSWER_LIMIT; left && (at = now()) < end_at;) {
        left = 0;
        for (int i = 0; i < opened; i++) left += channels[i].asked > 0;
        if (left) hear((int)(1000 * LOOK_PAUSE));
        exchange_silent(at);
    }
    for (int i = 0; i < opened; i++) end_burst(&channels[i]);
}

static void hear_first(int fd) {
    for (int count; (count = receive(fd)); heard_at = now()) heard_by_first += count;
}

/* So many at once, as densely as one core can send them, if need be. The answers to the first
 * socket are counted; those to the others the kernel drops as they come, so that they cost nothing
 * here. */
static void flood(double began_at, int at_once) {
    struct sock_filter nothing[] = {BPF_STMT(BPF_RET | BPF_K, 0)};
    struct sock_fprog program = {1, nothing};
    int turn = 0;
    for (int i = 1; i < opened; i++)
        if (setsockopt(channels[i].fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program))
            fail("SO_ATTACH_FILTER");
    for (double at; (at = now()) < over_at;) {
        if (asked > (at - began_at) * rate) continue;
        send_questions(&channels[turn], at_once);
        asked += at_once;
        if (turn == 0) {
            asked_by_first += at_once;
            hear_first(channels[0].fd);
        }
        turn = (turn + 1) % opened;
    }
}

/* Until the system gives the right answer. */
static void await_ready(void) {
    for (double over_at = now() + READY_LIMIT; now() < over_at; usleep(20000)) {
        struct channel first = {.fd = connected(targets), .stream = 1};
        if (first.fd < 0) continue;
        greet(first.fd);
        send_questions(&first, 1);
        answer_size = read_until_quiet(first.fd);
        close(first.fd);
        if (answer_size && memmem(room, answer_size, expected, expected_size)) return;
    }
    errno = 0;
    fail("no right answer in time");
}

static void read_arguments(char **arguments) {
    udp = !strcmp(arguments[1], "udp") || !strcmp(arguments[1], "flood");
    h2 = !strcmp(arguments[1], "h2");
    for (char *one = strtok(arguments[2], ","); one; one = strtok(NULL, ",")) {
        struct sockaddr_in *target = &targets[target_count++];
        char *port = strchr(one, ':');
        if (target_count > TARGETS_MAX || !port) fail("targets");
        *port++ = 0;
        *target = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(atoi(port))};
        if (inet_pton(AF_INET, one, &target->sin_addr) != 1) fail(one);
    }
    hello_size = unhex(arguments[7], hello, BYTES_MAX);
    expected_size = unhex(arguments[9], expected, BYTES_MAX);
    unsigned char *end = questions;
    for (char *one = strtok(arguments[8], ","); one; one = strtok(NULL, ",")) {
        if (question_count++ == QUESTIONS_MAX) fail("too many questions");
        end += question_size = unhex(one, end, BYTES_MAX);
    }
    if (!question_size) fail("no question");
    size_t size = end - questions; /* whoever starts at the last one can go on from the first */
    for (size_t i = 0; i < BATCH * question_size; i++) end[i] = questions[i % size];
}

static void tell(double elapsed, double asking) {
    printf("ended %ld %ld %ld %ld %.6f %.6f %ld %ld\n", asked, lost, unasked, odd, elapsed, asking,
           asked_by_first, heard_by_first);
    fflush(stdout);
    for (int wait = 0; wait <= WAITS; wait++)
        if (waits[wait]) printf("wait %d %u\n", wait, waits[wait]);
    for (struct counted *row = seen; row <= seen + mask; row++) {
        if (!row->count) continue;
        printf("answer %d ", row->answer.question);
        for (int i = 0; i < row->answer.size && i < ANSWER_BYTES; i++)
            printf("%02x", row->answer.data[i]);
        printf("%s %u\n", row->answer.size ? "" : "-", row->count);
    }
}

int main(int argc, char **arguments) {
    if (argc != 11) fail("ten arguments, please");
    int sockets = atoi(arguments[4]), in_flight = atoi(arguments[5]);
    rate = atof(arguments[6]);
    prctl(PR_SET_TIMERSLACK, 1); /* rests end on time, and not 50 us later */
    read_arguments(arguments);
    if (sockets > SOCKETS_MAX || in_flight > BATCH * sockets) fail("too many");
    make_room(atol(arguments[10]));
    epoll = epoll_create1(EPOLL_CLOEXEC);
    if (expected_size) await_ready();
    for (; opened < sockets; opened++) {
        channels[opened].wanted = in_flight / sockets + (opened < in_flight % sockets);
        open_channel(&channels[opened], &targets[opened % target_count]);
    }
    puts("began");
    fflush(stdout);
    double began_at = heard_at = now();
    over_at = began_at + atof(arguments[3]);
    if (!strcmp(arguments[1], "flood")) flood(began_at, in_flight < BATCH ? in_flight : BATCH);
    else keep_asking(began_at);
    double asking = now() - began_at;
    double rest_at = now() + FLOOD_REST;
    for (; asked_by_first && now() < rest_at; usleep(1000)) hear_first(channels[0].fd);
    if (!asked_by_first) drain();
    tell(heard_at - began_at, asking);
    return 0;
}
