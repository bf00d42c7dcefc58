/* Streams, events, captures and graphs, with CUDA's rules for what a capture may contain.

They are in the CUDA programming guide under "Cross-stream dependencies and events" and "Prohibited
and unhandled operations", and at cudaThreadExchangeStreamCaptureMode. */
#include "capture.h"
#include <pthread.h>
#include <stdlib.h>

enum { GLOBAL, THREAD_LOCAL, RELAXED }; /* cudaStreamCaptureMode */

struct Capture {
    Graph *graph;
    long id;
    int mode, device, blocking, invalid;
    pthread_t thread;
    Stream *origin;
    Capture *next;
};
static Capture *captures;
static long begun;
static Stream legacy[DEVICES], **streams;
static size_t n_streams, room_streams;

/* -- streams -- */

Stream *stream_of(intptr_t handle) {
    if (0 <= handle && handle <= 2) { /* the default ones; a thread's own is the same here */
        Stream *stream = &legacy[current_device()];
        stream->device = current_device();
        stream->legacy = 1;
        return stream;
    }
    for (size_t i = 0; i < n_streams; i++)
        if (streams[i] == (Stream *)handle) return streams[i];
    refused(INVALID_HANDLE, "there is no such stream");
    return NULL;
}

Stream *stream_create(unsigned flags) {
    if (n_streams == room_streams)
        streams = realloc(streams, (room_streams = 2 * room_streams + 16) * sizeof *streams);
    Stream *stream = calloc(1, sizeof *stream);
    stream->device = current_device();
    stream->nonblocking = flags & 1;
    return streams[n_streams++] = stream;
}

int stream_destroy(Stream *stream) {
    finish(stream->last);
    for (size_t i = 0; i < n_streams; i++)
        if (streams[i] == stream) streams[i] = streams[--n_streams];
    free(stream);
    return SUCCESS;
}

/* -- what captures forbid -- */

static int invalidate(Capture *capture, int status, const char *what) {
    capture->invalid = 1;
    return refused(status, "%s isn't permitted while a stream captures", what);
}

int unsafe_call(const char *what) {
    int status = SUCCESS;
    for (Capture *c = captures; c; c = c->next)
        if (c->mode == GLOBAL ||
            (c->mode == THREAD_LOCAL && pthread_equal(c->thread, pthread_self())))
            status = invalidate(c, CAPTURE_UNSUPPORTED, what);
    return status;
}

/* A host that reads or writes in the midst of its own capture does what no replay will repeat; CUDA
lets some of that pass in the relaxed mode. */
int refused_in_own_capture(const char *what) {
    int status = unsafe_call(what);
    for (Capture *c = captures; c; c = c->next)
        if (pthread_equal(c->thread, pthread_self()))
            status = invalidate(c, CAPTURE_UNSUPPORTED, what);
    return status;
}

int refused_on_capturing_device(const char *what) {
    int status = unsafe_call(what);
    for (Capture *c = captures; c; c = c->next)
        if (c->device == current_device()) status = invalidate(c, CAPTURE_UNSUPPORTED, what);
    return status;
}

/* A blocking stream depends on the legacy one, which so can't be used while the former captures. */
static int legacy_use(Stream *stream) {
    int status = SUCCESS;
    if (stream->legacy)
        for (Capture *c = captures; c; c = c->next)
            if (c->blocking && c->device == stream->device)
                status = invalidate(c, CAPTURE_IMPLICIT, "the legacy stream");
    return status;
}

int may_submit(Stream *stream) {
    if (stream->capture && stream->capture->invalid)
        return refused(CAPTURE_INVALIDATED, "an earlier mistake has ended the capture");
    return legacy_use(stream);
}

int may_wait(Stream *stream, const char *what) {
    if (stream->capture) return invalidate(stream->capture, CAPTURE_UNSUPPORTED, what);
    int status = unsafe_call(what);
    return status ? status : legacy_use(stream);
}

/* -- graphs -- */

void append(Capture *capture, Work *work) {
    Graph *graph = capture->graph;
    if (graph->last)
        graph->last->next = work;
    else
        graph->first = work;
    graph->last = work;
    graph->works++;
}

Graph *graph_share(Graph *graph) {
    graph->owners++;
    return graph;
}

int graph_destroy(Graph *graph) {
    if (--graph->owners) return SUCCESS;
    finish_all(); /* it may wait in the queue */
    for (Work *work = graph->first, *next; work; work = next) {
        next = work->next;
        free(work);
    }
    free(graph);
    return SUCCESS;
}

typedef struct {
    Work work;
    Graph *graph;
} Replay;
static void replay(Work *work) {
    for (Work *each = ((Replay *)work)->graph->first; each; each = each->next) each->run(each);
}
static int check_replay(Work *work) {
    int status = SUCCESS;
    for (Work *each = ((Replay *)work)->graph->first; each && !status; each = each->next)
        if (each->check && !is_quiet()) status = each->check(each);
    return status;
}

int graph_launch(Graph *graph, Stream *stream) {
    if (stream->capture) return refused(NOT_SUPPORTED, "a graph in a graph isn't emulated");
    Replay *work = new_work(sizeof *work, replay, check_replay, stream);
    work->graph = graph;
    return submit(stream, &work->work, GRAPH, "cudaGraphLaunch", graph->works);
}

int capture_begin(Stream *stream, int mode) {
    if (stream->legacy) return refused(CAPTURE_UNSUPPORTED, "the legacy stream can't capture");
    if (stream->capture) return refused(ILLEGAL_STATE, "the stream captures already");
    Capture *capture = calloc(1, sizeof *capture);
    capture->graph = calloc(1, sizeof *capture->graph);
    capture->graph->owners = 1;
    capture->id = ++begun;
    capture->mode = mode;
    capture->device = stream->device;
    capture->blocking = !stream->nonblocking;
    capture->thread = pthread_self();
    capture->origin = stream;
    capture->next = captures;
    captures = stream->capture = capture;
    return SUCCESS;
}

int capture_end(Stream *stream, Graph **out) {
    Capture *capture = stream->capture;
    *out = NULL;
    if (!capture) return refused(ILLEGAL_STATE, "the stream doesn't capture");
    if (capture->origin != stream) return refused(CAPTURE_UNMATCHED, "another stream began it");
    if (capture->mode != RELAXED && !pthread_equal(capture->thread, pthread_self()))
        return refused(WRONG_THREAD, "another thread began the capture");
    for (size_t i = 0; i < n_streams; i++)
        if (streams[i]->capture == capture) streams[i]->capture = NULL;
    for (Capture **place = &captures; *place; place = &(*place)->next)
        if (*place == capture) {
            *place = capture->next;
            break;
        }
    int invalid = capture->invalid;
    if (invalid)
        graph_destroy(capture->graph);
    else
        *out = capture->graph;
    free(capture);
    return invalid ? refused(CAPTURE_INVALIDATED, "an earlier mistake has ended the capture")
                   : SUCCESS;
}

int capture_status(Stream *stream) { /* cudaStreamCaptureStatus: none, active, invalidated */
    return stream->capture ? 1 + stream->capture->invalid : 0;
}

/* -- events -- */

static Capture *capture_of(Mark *mark) {
    for (Capture *c = captures; c; c = c->next)
        if (c->id == mark->capture) return c;
    return NULL;
}

int mark_record(Mark *mark, Stream *stream) {
    int status = may_submit(stream);
    if (status) return status;
    mark->capture = stream->capture ? stream->capture->id : 0;
    mark->number = stream->last; /* there is one queue, and it keeps the stream's order */
    return SUCCESS;
}

int mark_wait(Mark *mark, const char *what) {
    if (capture_of(mark)) return invalidate(capture_of(mark), CAPTURED_EVENT, what);
    int status = unsafe_call(what);
    if (!status) wait_for(mark->number, what, stream_of(0));
    return status;
}

int mark_query(Mark *mark) {
    if (capture_of(mark)) return invalidate(capture_of(mark), CAPTURED_EVENT, "cudaEventQuery");
    int status = unsafe_call("cudaEventQuery");
    if (!status) finish(mark->number); /* else a host that asks until then would ask forever */
    return status;
}

int stream_wait_mark(Stream *stream, Mark *mark) {
    int status = may_submit(stream);
    if (status) return status;
    Capture *joined = capture_of(mark);
    if (joined) {
        if (stream->capture && stream->capture != joined)
            return invalidate(stream->capture, CAPTURE_ISOLATION, "another capture's event");
        stream->capture = joined;
    } else if (stream->capture && mark->number) {
        return invalidate(stream->capture, CAPTURE_ISOLATION, "an event from outside");
    }
    return SUCCESS; /* one queue: what was submitted before is done before */
}
