/* Streams, events, captures and graphs: what runtime.c offers of them to CuPy. */
#pragma once
#include "machine.h"

/* An event of CUDA's: a place in the queue, or in the capture with that number. */
typedef struct {
    long number, capture;
} Mark;

Stream *stream_create(unsigned flags);
int stream_destroy(Stream *stream);
int may_wait(Stream *stream, const char *what); /* the status if a capture forbids it */
int refused_on_capturing_device(const char *what);

int capture_begin(Stream *stream, int mode);
int capture_end(Stream *stream, Graph **out);
int capture_status(Stream *stream);
Graph *graph_share(Graph *graph);
int graph_destroy(Graph *graph);
int graph_launch(Graph *graph, Stream *stream);

int mark_record(Mark *mark, Stream *stream);
int mark_wait(Mark *mark, const char *what);
int mark_query(Mark *mark);
int stream_wait_mark(Stream *stream, Mark *mark);
