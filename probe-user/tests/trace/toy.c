/* A target with tasks whose every state is known: it polls them in a fixed order and prints how often.
 *
 * Commands on stdin, one per line, answered by one line each:
 *   polls THREADS TASKS N   every thread makes TASKS tasks and polls each N times; the last poll ends it
 *   nested N                N polls, each of which polls another task
 *   forked N                N polls in a forked child, which runs the same text
 *   crossed N               N polls left by longjmp, whose returns are never reached, and one that returns
 *   blocking MS             one poll that takes so long
 *   busy THREADS MS         polls without a break for so long
 *   seccomp                 forbids every system call that this program does not need
 *   quit
 */
#define _GNU_SOURCE
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* Places to probe that are never run. */
__asm__(".pushsection .text\n.balign 16\n.globl toy_many\n.type toy_many, @function\n"
        "toy_many: .rept 256\nnopl 0(%rax, %rax, 1)\nret\n.balign 16\n.endr\n.size toy_many, . - toy_many\n.popsection");

struct leaf { uint32_t state; };

/* As tokio's Cell: a header, the scheduler and id, a stage that holds the future. */
struct cell {
    uint64_t state, queue_next, vtable, owner; /* 0x00 */
    uint64_t scheduler, id;                    /* 0x20 */
    uint32_t stage;                            /* 0x30: 0 running, 1 finished, 2 consumed */
    uint8_t outer;                             /* 0x34 */
    uint8_t inner;                             /* 0x35, where outer is 3 */
    struct leaf *boxed;                        /* 0x38, where outer is 4 */
    struct { struct leaf *data; const char *vtable; } dyn; /* 0x40, where outer is 5 */
    char future[600];
    uint16_t far_state;                        /* beyond the block that is read at once; where outer is 6 */
    uint64_t polls, wanted;
};

/* Only their addresses matter. */
const char toy_vtable_a[8] = "a", toy_vtable_b[8] = "b", toy_vtable_unknown[8] = "?";

static void enter(struct cell *c, uint64_t poll) {
    switch (poll % 10) {
    case 0: c->outer = 3; c->inner = 3; break;
    case 1: c->inner = 4; break;
    case 2: break;
    case 3: c->outer = 4; c->boxed->state = 0; break;
    case 4: c->boxed->state = 1; break;
    case 5: c->outer = 5; c->dyn.vtable = toy_vtable_a; break;
    case 6: c->dyn.vtable = toy_vtable_b; break;
    case 7: c->dyn.vtable = toy_vtable_unknown; break;
    case 8: c->outer = 6; c->far_state = 700; break;
    case 9: c->far_state = 701; break;
    }
}

/* The last poll gives the task's memory back, as tokio does when nobody holds a JoinHandle. */
void toy_poll(struct cell *c);
/* One jump of five bytes, as rustc makes of raw::poll with 16 codegen units. Many other first instructions are
 * single-stepped by the kernel, which costs ten times as much. */
__asm__(".pushsection .text\n.globl toy_poll\n.type toy_poll, @function\n"
        "toy_poll: .byte 0xe9\n.long toy_poll_body - . - 4\n.size toy_poll, 5\n.popsection");

__attribute__((noinline, used)) void toy_poll_body(struct cell *c) {
    if (c->polls + 1 < c->wanted) {
        enter(c, c->polls++);
        return;
    }
    c->stage = 2;
    c->state = 2 | (1 << 6);
    if (c->id % 2)
        munmap(c, sizeof *c);
    else
        c->id = 0xdead;
}

__attribute__((noinline)) void toy_poll_nesting(struct cell *c, struct cell *inner) {
    c->state |= 1;
    toy_poll(inner);
    c->state &= ~1ull;
    __asm__ volatile("" ::: "memory");
}

static jmp_buf out;
__attribute__((noinline)) void toy_poll_crossed(struct cell *c) {
    if (c->polls++ < c->wanted)
        longjmp(out, 1);
}

__attribute__((noinline)) void toy_poll_blocking(struct cell *c, long ms) {
    c->state |= 1;
    usleep(ms * 1000);
    c->state &= ~1ull;
}

static uint64_t next_id = 1;

static struct cell *spawn(uint64_t polls) {
    struct cell *c = mmap(NULL, sizeof *c, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (c == MAP_FAILED)
        abort();
    c->state = 2 << 6;
    c->id = __atomic_fetch_add(&next_id, 1, __ATOMIC_RELAXED);
    c->boxed = calloc(1, sizeof *c->boxed);
    c->dyn.data = calloc(1, sizeof *c->dyn.data);
    c->dyn.data->state = 1;
    c->wanted = polls;
    return c;
}

struct work { int tasks; long polls; };

static void *run(void *arg) {
    struct work *w = arg;
    struct cell **cells = calloc(w->tasks, sizeof *cells);
    for (int i = 0; i < w->tasks; i++)
        cells[i] = spawn(w->polls);
    for (long n = 0; n < w->polls; n++)
        for (int i = 0; i < w->tasks; i++)
            toy_poll(cells[i]);
    free(cells);
    return NULL;
}

static volatile int stop;

static void *run_until_stopped(void *arg) {
    (void)arg;
    struct cell *c = spawn(UINT64_MAX);
    while (!stop)
        toy_poll(c);
    return NULL;
}

static void busy(int threads, long ms) {
    pthread_t ids[64];
    stop = 0;
    for (int i = 0; i < threads; i++)
        pthread_create(&ids[i], NULL, run_until_stopped, NULL);
    usleep(ms * 1000);
    stop = 1;
    for (int i = 0; i < threads; i++)
        pthread_join(ids[i], NULL);
}

static void polls(int threads, struct work w) {
    pthread_t ids[64];
    for (int i = 0; i < threads; i++)
        pthread_create(&ids[i], NULL, run, &w);
    for (int i = 0; i < threads; i++)
        pthread_join(ids[i], NULL);
}

/* A return probe that is a system call of its own (335) is not in this list. */
static int forbid(void) {
    static const int allowed[] = {SYS_read, SYS_write, SYS_mmap, SYS_munmap, SYS_brk, SYS_exit_group, SYS_exit, SYS_fstat,
                                  SYS_newfstatat, SYS_clock_nanosleep, SYS_mprotect, SYS_madvise};
    struct sock_filter code[3 * 32];
    unsigned n = 0;
    code[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
    for (unsigned i = 0; i < sizeof allowed / sizeof *allowed; i++) {
        code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, allowed[i], 0, 1);
        code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    }
    code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
    struct sock_fprog program = {.len = n, .filter = code};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        return -1;
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

int main(void) {
    char line[128];
    printf("ready\n");
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        int threads, tasks;
        long n;
        if (sscanf(line, "polls %d %d %ld", &threads, &tasks, &n) == 3 && threads <= 64) {
            polls(threads, (struct work){tasks, n});
        } else if (sscanf(line, "nested %ld", &n) == 1) {
            struct cell *c = spawn(0), *inner = spawn(n + 1);
            while (n-- > 0)
                toy_poll_nesting(c, inner);
        } else if (sscanf(line, "forked %ld", &n) == 1) {
            pid_t child = fork();
            if (child == 0) {
                run(&(struct work){1, n});
                _exit(0);
            }
            int status;
            waitpid(child, &status, 0);
            if (status) {
                printf("the child ended with %#x\n", status);
                fflush(stdout);
                continue;
            }
        } else if (sscanf(line, "crossed %ld", &n) == 1) {
            struct cell *volatile c = spawn(n);
            setjmp(out);
            toy_poll_crossed(c);
        } else if (sscanf(line, "blocking %ld", &n) == 1) {
            toy_poll_blocking(spawn(0), n);
        } else if (sscanf(line, "busy %d %ld", &threads, &n) == 2 && threads <= 64) {
            busy(threads, n);
        } else if (!strncmp(line, "seccomp", 7)) {
            if (forbid()) {
                printf("cannot\n");
                fflush(stdout);
                continue;
            }
        } else if (!strncmp(line, "quit", 4)) {
            printf("bye\n");
            fflush(stdout);
            return 7;
        }
        printf("done\n");
        fflush(stdout);
    }
    return 0;
}
