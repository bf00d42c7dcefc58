/* Memory, the queue of work, and the record of what was done: see machine.h. */
#define _GNU_SOURCE
#include "machine.h"
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define ARENA \
    ((size_t)1 << 40) /* addresses of a device; never used twice, so a stale one is known */
#define PAGE ((size_t)4096)
#define POISON 0xFF /* NaN in every float, -1 in every integer */
#define QUEUE 1024  /* as long as a card's: a longer one is begun by itself */

static pthread_mutex_t mutex = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
void lock(void) { pthread_mutex_lock(&mutex); }
void unlock(void) { pthread_mutex_unlock(&mutex); }

static _Thread_local int current;
int current_device(void) { return current; }
void set_current_device(int device) { current = device; }

static _Thread_local char refusal[300];
int refused(int status, const char *why, ...) {
    va_list rest;
    va_start(rest, why);
    vsnprintf(refusal, sizeof refusal, why, rest);
    va_end(rest);
    return status;
}
const char *last_refusal(void) { return refusal; }

/* -- the record -- */

static Event *events;
static size_t told, room;
static int recordings, quiet;
static long counts[KINDS];

void tell(int kind, const char *name, size_t bytes, Stream *stream, int captured) {
    if (!captured) counts[kind]++;
    if (!recordings) return;
    if (told == room) events = realloc(events, (room = room ? 2 * room : 1024) * sizeof *events);
    Event *event = &events[told++];
    event->kind = kind;
    event->device = stream ? stream->device : current;
    event->captured = captured;
    event->bytes = bytes;
    event->stream = stream && !stream->legacy ? (intptr_t)stream : 0;
    snprintf(event->name, sizeof event->name, "%s", name);
}

/* For emulator.py. The events lie where they are until the last recording stops. */
const long *emulator_counts(void) { return counts; }
size_t emulator_told(void) { return told; }
void emulator_read(Event *out, size_t first, size_t n) {
    lock();
    memcpy(out, events + first, n * sizeof *out);
    unlock();
}
void emulator_record(int on) {
    lock();
    recordings += on ? 1 : -1;
    if (!recordings) told = 0;
    unlock();
}
void emulator_quiet(int on) {
    lock();
    finish_all();
    quiet = on;
    unlock();
}
int is_quiet(void) { return quiet; }

/* -- memory -- */

typedef struct {
    char *start;
    size_t bytes, mapped;
    int alive;
} Block;
static struct {
    char *arena;
    size_t used, taken;
    Block *blocks;
    size_t n, room;
} devices[DEVICES];
static struct {
    char *start;
    size_t bytes;
} *pinned;
static size_t n_pinned, room_pinned;

static char *arena_of(int device) {
    if (!devices[device].arena) {
        void *start =
            mmap(NULL, ARENA, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (start == MAP_FAILED) perror("the emulator's addresses"), abort();
        devices[device].arena = start;
    }
    return devices[device].arena;
}

int device_malloc(void **out, size_t bytes) {
    int d = current;
    bytes = (bytes + 511) / 512 * 512;
    size_t mapped = (bytes + PAGE - 1) / PAGE * PAGE;
    if (devices[d].taken + bytes > MEMORY || devices[d].used + mapped + PAGE > ARENA)
        return refused(OUT_OF_MEMORY, "cuda:%d has no %zu bytes left", d, bytes);
    char *pages = arena_of(d) + devices[d].used;
    if (mapped && mprotect(pages, mapped, PROT_READ | PROT_WRITE))
        return refused(OUT_OF_MEMORY, "the host has no %zu bytes left", bytes);
    devices[d].used += mapped + PAGE; /* a page behind each block that no one may touch */
    devices[d].taken += bytes;
    if (devices[d].n == devices[d].room) {
        devices[d].room = 2 * devices[d].room + 64;
        devices[d].blocks = realloc(devices[d].blocks, devices[d].room * sizeof(Block));
    }
    char *start = pages + (mapped - bytes); /* its end is the page's: one too far is a crash */
    memset(start, POISON, bytes);
    devices[d].blocks[devices[d].n++] = (Block){start, bytes, mapped, 1};
    *out = start;
    tell(ALLOCATION, "cudaMalloc", bytes, NULL, 0);
    return SUCCESS;
}

int device_of(const void *address) {
    for (int d = 0; d < DEVICES; d++)
        if (devices[d].arena && (size_t)((char *)address - devices[d].arena) < ARENA) return d;
    return -1;
}

static Block *block_of(const void *address, int d) {
    size_t low = 0, high = devices[d].n; /* blocks stand in the order of their addresses */
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (devices[d].blocks[middle].start <= (char *)address)
            low = middle + 1;
        else
            high = middle;
    }
    return low ? &devices[d].blocks[low - 1] : NULL;
}

int check_range(const void *address, size_t bytes, int device, const char *what) {
    int d = device_of(address);
    if (d < 0) return refused(ILLEGAL_ADDRESS, "%s lies in the host's memory", what);
    if (d != device)
        return refused(ILLEGAL_ADDRESS, "%s lies on cuda:%d, the work on cuda:%d", what, d, device);
    Block *block = block_of(address, d);
    if (!block || (char *)address + bytes > block->start + block->bytes)
        return refused(ILLEGAL_ADDRESS, "%s goes beyond what was allocated", what);
    if (!block->alive) return refused(ILLEGAL_ADDRESS, "%s has been freed", what);
    return SUCCESS;
}

int device_free(void *address) {
    if (!address) return SUCCESS;
    int d = device_of(address);
    Block *block = d < 0 ? NULL : block_of(address, d);
    if (!block || block->start != address || !block->alive)
        return refused(INVALID_VALUE, "this isn't allocated");
    finish_all(); /* as cudaFree waits */
    block->alive = 0;
    devices[d].taken -= block->bytes;
    char *pages = block->start + block->bytes - block->mapped;
    if (block->mapped) /* gives the memory back; whoever reads it now crashes */
        mmap(
            pages, block->mapped, PROT_NONE,
            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
    tell(FREE, "cudaFree", block->bytes, NULL, 0);
    return SUCCESS;
}

size_t free_bytes(int device) { return MEMORY - devices[device].taken; }

int host_malloc(void **out, size_t bytes) {
    if (posix_memalign(out, 512, bytes ? bytes : 1))
        return refused(OUT_OF_MEMORY, "no host memory");
    memset(*out, POISON, bytes);
    if (n_pinned == room_pinned)
        pinned = realloc(pinned, (room_pinned = 2 * room_pinned + 64) * sizeof *pinned);
    pinned[n_pinned].start = *out;
    pinned[n_pinned++].bytes = bytes;
    tell(ALLOCATION, "cudaHostAlloc", bytes, NULL, 0);
    return SUCCESS;
}

int is_pinned(const void *address) {
    for (size_t i = 0; i < n_pinned; i++)
        if ((size_t)((char *)address - pinned[i].start) < pinned[i].bytes) return 1;
    return 0;
}

int host_free(void *address) {
    for (size_t i = 0; i < n_pinned; i++)
        if (pinned[i].start == address) {
            finish_all();
            tell(FREE, "cudaFreeHost", pinned[i].bytes, NULL, 0);
            memset(address, POISON, pinned[i].bytes);
            free(address);
            pinned[i] = pinned[--n_pinned];
            return SUCCESS;
        }
    return refused(INVALID_VALUE, "this isn't page-locked memory");
}

/* -- the queue -- */

static Work *first, *last;
static long submitted, done, waited;

void *new_work(size_t bytes, void (*run)(Work *), int (*check)(Work *), Stream *stream) {
    Work *work = calloc(1, bytes);
    work->run = run;
    work->check = check;
    work->device = stream->device;
    return work;
}

static void enqueue(Stream *stream, Work *work) {
    stream->last = work->number = ++submitted;
    if (last)
        last->next = work;
    else
        first = work;
    last = work;
    if (submitted - done > QUEUE) finish(submitted - QUEUE / 2);
}

int submit(Stream *stream, Work *work, int kind, const char *name, size_t bytes) {
    int status = may_submit(stream);
    if (!status && work->check) status = work->check(work);
    if (status) {
        free(work);
        return status;
    }
    int captured = stream->capture != NULL;
    tell(kind, name, bytes, stream, captured);
    if (captured) {
        append(stream->capture, work);
    } else if (quiet && (kind == LAUNCH || kind == GEMM || kind == GRAPH)) {
        stream->last = ++submitted;
        free(work);
    } else {
        enqueue(stream, work);
    }
    return SUCCESS;
}

void finish(long number) {
    while (first && first->number <= number) {
        Work *work = first;
        first = work->next;
        if (!first) last = NULL;
        done = work->number;
        work->run(work);
        free(work);
    }
}

void finish_all(void) { finish(submitted); }

void wait_for(long number, const char *what, Stream *stream) {
    if (number > submitted) number = submitted;
    if (number > waited) {
        tell(WAIT, what, 0, stream, 0);
        waited = number;
    }
    finish(number);
}

/* Fill memory that a pool hands out again, after all that was queued with what it held before. */
typedef struct {
    Work work;
    void *start;
    size_t bytes;
} Fill;
static void fill(Work *work) { memset(((Fill *)work)->start, POISON, ((Fill *)work)->bytes); }
void emulator_poison(void *start, size_t bytes) {
    lock();
    Stream *stream = stream_of(0);
    if (!check_range(start, bytes, device_of(start), "the memory")) {
        Fill *work = new_work(sizeof *work, fill, NULL, stream);
        work->start = start;
        work->bytes = bytes;
        enqueue(stream, &work->work);
    }
    unlock();
}
