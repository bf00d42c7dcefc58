/* The emulated GPUs: their memory, the work that was given to them, and what is told of it.

Work is put into one queue and done only when something waits for it, as late as CUDA allows: what
the host does too early, such as to fill a buffer whose copy hasn't been waited for, shows in the
result. Every function takes the lock, so one thread at a time is in here. */
#pragma once
#include <stddef.h>
#include <stdint.h>

#define DEVICES 2
#define MEMORY ((size_t)16 << 30) /* bytes, as a device reports them */

/* CUDA's numbers of errors. */
enum {
    SUCCESS = 0,
    INVALID_VALUE = 1,
    OUT_OF_MEMORY = 2,
    INVALID_DEVICE = 101,
    FILE_NOT_FOUND = 301,
    INVALID_HANDLE = 400,
    ILLEGAL_STATE = 401,
    NOT_FOUND = 500,
    NOT_READY = 600,
    ILLEGAL_ADDRESS = 700,
    PEER_ACCESS_UNSUPPORTED = 217,
    LAUNCH_FAILED = 719,
    NOT_SUPPORTED = 801,
    CAPTURE_UNSUPPORTED = 900,
    CAPTURE_INVALIDATED = 901,
    CAPTURE_UNMATCHED = 903,
    CAPTURE_ISOLATION = 905,
    CAPTURE_IMPLICIT = 906,
    CAPTURED_EVENT = 907,
    WRONG_THREAD = 908,
};

/* What is recorded and counted; emulator.py has the same order. */
enum { LAUNCH, GRAPH, GEMM, COPY, MEMSET, WAIT, ALLOCATION, FREE, KINDS };

typedef struct Capture Capture;
/* last: the number of its last piece of work. */
typedef struct {
    int device, legacy, nonblocking;
    Capture *capture;
    long last;
} Stream;

/* A piece of work. check: the status if memory that it touches can't be; or NULL. */
typedef struct Work {
    void (*run)(struct Work *);
    int (*check)(struct Work *);
    struct Work *next;
    long number;
    int device;
} Work;
typedef struct {
    Work *first, *last;
    long works, owners;
} Graph;

typedef struct {
    int kind, device, captured;
    size_t bytes;
    intptr_t stream;
    char name[100];
} Event;

void lock(void);
void unlock(void);
int current_device(void);
int refused(int status, const char *why, ...); /* keeps why for the error's text; returns status */
const char *last_refusal(void);

/* Memory */
int device_malloc(void **out, size_t bytes);
int device_free(void *address);
int host_malloc(void **out, size_t bytes);
int host_free(void *address);
int device_of(const void *address); /* -1: the host's */
int is_pinned(const void *address);
/* Whether these bytes lie in the living memory of the device; the status if not. */
int check_range(const void *address, size_t bytes, int device, const char *what);
size_t free_bytes(int device);

/* Work. `submit` takes the work and frees it once it is done. */
void *new_work(size_t bytes, void (*run)(Work *), int (*check)(Work *), Stream *stream);
int submit(Stream *stream, Work *work, int kind, const char *name, size_t bytes);
void finish(long number); /* do all up to this one */
void finish_all(void);
/* The same, told as a wait, unless all that has been waited for already. */
void wait_for(long number, const char *what, Stream *stream);
int is_quiet(void);
void tell(int kind, const char *name, size_t bytes, Stream *stream, int captured);

/* Streams and captures */
Stream *stream_of(intptr_t handle); /* NULL: no such stream */
int may_submit(Stream *stream);     /* the status if a capture forbids it */
int unsafe_call(const char *what);  /* the same for calls that a capture may not contain */
int refused_in_own_capture(const char *what);
void append(Capture *capture, Work *work);
