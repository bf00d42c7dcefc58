/* cuBLAS by its name: the general matrix product, by NumPy's OpenBLAS. emulator.py adds, for each
other function that CuPy wants to find, one that says it isn't supported. */
#include "machine.h"
#include <stdio.h>
#include <stdlib.h>

/* cublasStatus_t, cudaDataType */
enum { NOT_INITIALIZED = 1, INVALID = 7, EXECUTION_FAILED = 13, UNSUPPORTED = 15 };
enum { FLOAT = 0, DOUBLE = 1 };

typedef struct {
    int device, math, mode;
    intptr_t stream;
    size_t workspace;
} Handle;

/* cblas_sgemm and cblas_dgemm with 64-bit integers. */
typedef long long Long;
static void (*sgemm)(
    int, int, int, Long, Long, Long, float, const float *, Long, const float *, Long, float,
    float *, Long);
static void (*dgemm)(
    int, int, int, Long, Long, Long, double, const double *, Long, const double *, Long, double,
    double *, Long);
static int (*get_threads)(void);
static void (*set_threads)(int);
void emulator_blas(void *single_, void *double_, void *get, void *set) {
    *(void **)&sgemm = single_;
    *(void **)&dgemm = double_;
    *(void **)&get_threads = get;
    *(void **)&set_threads = set;
}

int emulator_unsupported(const char *name) {
    fprintf(stderr, "tests/cuda_emulator/cublas.c has no %s\n", name);
    return UNSUPPORTED;
}

int cublasCreate_v2(Handle **out) {
    *out = calloc(1, sizeof **out);
    (*out)->device = current_device();
    return SUCCESS;
}
int cublasDestroy_v2(Handle *handle) {
    free(handle);
    return SUCCESS;
}
int cublasGetVersion_v2(Handle *handle, int *out) {
    (void)handle;
    *out = 130200;
    return SUCCESS;
}
int cublasSetStream_v2(Handle *handle, intptr_t stream) {
    if (!handle) return NOT_INITIALIZED;
    handle->stream = stream;
    handle->workspace = 0; /* as cuBLAS does: the workspace has to be set after the stream */
    return SUCCESS;
}
int cublasGetStream_v2(Handle *handle, intptr_t *out) {
    *out = handle->stream;
    return SUCCESS;
}
int cublasSetWorkspace_v2(Handle *handle, void *workspace, size_t bytes) {
    if (!handle) return NOT_INITIALIZED;
    lock();
    int status = bytes && ((uintptr_t)workspace % 256 ||
                           check_range(workspace, bytes, handle->device, "the workspace"));
    handle->workspace = bytes;
    unlock();
    return status ? INVALID : SUCCESS;
}
int cublasSetPointerMode_v2(Handle *handle, int mode) {
    handle->mode = mode;
    return SUCCESS;
}
int cublasGetPointerMode_v2(Handle *handle, int *out) {
    *out = handle->mode;
    return SUCCESS;
}
int cublasSetMathMode(Handle *handle, int mode) {
    handle->math = mode;
    return SUCCESS;
}
int cublasGetMathMode(Handle *handle, int *out) {
    *out = handle->math;
    return SUCCESS;
}

typedef struct {
    Work work;
    int m, n, k, lda, ldb, ldc, type, flip_a, flip_b;
    double alpha, beta;
    void *A, *B, *C;
} Gemm;

static void run(Work *work) {
    Gemm *g = (Gemm *)work;
    enum { COLUMNS = 102, AS_IT_IS = 111, FLIPPED = 112 };
    int a = g->flip_a ? FLIPPED : AS_IT_IS, b = g->flip_b ? FLIPPED : AS_IT_IS;
    int threads = get_threads();
    set_threads(1); /* on a busy machine they would wait for each other */
    if (g->type == FLOAT)
        sgemm(
            COLUMNS, a, b, g->m, g->n, g->k, g->alpha, g->A, g->lda, g->B, g->ldb, g->beta, g->C,
            g->ldc);
    else
        dgemm(
            COLUMNS, a, b, g->m, g->n, g->k, g->alpha, g->A, g->lda, g->B, g->ldb, g->beta, g->C,
            g->ldc);
    set_threads(threads);
}

static int check_matrix(Gemm *g, void *matrix, int rows, int columns, int ld, const char *name) {
    if (ld < (rows > 1 ? rows : 1))
        return refused(INVALID_VALUE, "leading dimension %d of %s's %d rows", ld, name, rows);
    size_t item = g->type == FLOAT ? sizeof(float) : sizeof(double);
    size_t elements = columns && rows ? (size_t)ld * (columns - 1) + rows : 0;
    return elements ? check_range(matrix, elements * item, g->work.device, name) : SUCCESS;
}

static int check(Work *work) {
    Gemm *g = (Gemm *)work;
    int status =
        check_matrix(g, g->A, g->flip_a ? g->k : g->m, g->flip_a ? g->m : g->k, g->lda, "A");
    if (!status)
        status =
            check_matrix(g, g->B, g->flip_b ? g->n : g->k, g->flip_b ? g->k : g->n, g->ldb, "B");
    return status ? status : check_matrix(g, g->C, g->m, g->n, g->ldc, "C");
}

static int gemm(
    Handle *handle, int flip_a, int flip_b, int m, int n, int k, double alpha, void *A, int lda,
    void *B, int ldb, double beta, void *C, int type, int ldc) {
    if (!handle) return NOT_INITIALIZED;
    if (m < 0 || n < 0 || k < 0) return INVALID;
    if (handle->mode) return emulator_unsupported("scalars in the device's memory");
    lock();
    Stream *stream = stream_of(handle->stream);
    int status = EXECUTION_FAILED;
    if (stream && stream->device == handle->device && current_device() == handle->device) {
        Gemm *g = new_work(sizeof *g, run, check, stream);
        g->m = m, g->n = n, g->k = k, g->type = type;
        g->A = A, g->B = B, g->C = C, g->lda = lda, g->ldb = ldb, g->ldc = ldc;
        g->flip_a = flip_a, g->flip_b = flip_b, g->alpha = alpha, g->beta = beta;
        char what[100];
        snprintf(
            what, sizeof what, "%s %c%c %d x %d x %d, %zu bytes of workspace",
            type == FLOAT ? "float32" : "float64", "NT"[!!flip_a], "NT"[!!flip_b], m, n, k,
            handle->workspace);
        int failed = submit(stream, &g->work, GEMM, what, 0);
        status = !failed ? SUCCESS : failed == INVALID_VALUE ? INVALID : EXECUTION_FAILED;
    }
    unlock();
    if (status) fprintf(stderr, "the emulated cuBLAS refuses a product: %s\n", last_refusal());
    return status;
}

int cublasGemmEx(
    Handle *handle, int flip_a, int flip_b, int m, int n, int k, const void *alpha, void *A,
    int type_a, int lda, void *B, int type_b, int ldb, const void *beta, void *C, int type_c,
    int ldc, int compute, int algorithm) {
    (void)algorithm;
    if (type_a != type_c || type_b != type_c || (type_c != FLOAT && type_c != DOUBLE))
        return emulator_unsupported("a product of these types");
    /* CUBLAS_COMPUTE_32F, its pedantic and TF32 variants, or CUBLAS_COMPUTE_64F and its own */
    int right = type_c == FLOAT ? compute == 68 || compute == 69 || compute == 77
                                : compute == 70 || compute == 71;
    if (!right) return emulator_unsupported("a product that computes in that type");
    double a = type_c == FLOAT ? *(const float *)alpha : *(const double *)alpha;
    double b = type_c == FLOAT ? *(const float *)beta : *(const double *)beta;
    return gemm(handle, flip_a, flip_b, m, n, k, a, A, lda, B, ldb, b, C, type_c, ldc);
}

int cublasSgemm_v2(
    Handle *handle, int flip_a, int flip_b, int m, int n, int k, const float *alpha, void *A,
    int lda, void *B, int ldb, const float *beta, void *C, int ldc) {
    return gemm(handle, flip_a, flip_b, m, n, k, *alpha, A, lda, B, ldb, *beta, C, FLOAT, ldc);
}

int cublasDgemm_v2(
    Handle *handle, int flip_a, int flip_b, int m, int n, int k, const double *alpha, void *A,
    int lda, void *B, int ldb, const double *beta, void *C, int ldc) {
    return gemm(handle, flip_a, flip_b, m, n, k, *alpha, A, lda, B, ldb, *beta, C, DOUBLE, ldc);
}
