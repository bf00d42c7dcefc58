/* CUDA's words in terms of C++, before the source of a kernel; __global__ functions are exported by
launch.h behind it. It holds CuPy's headers too, so that they are compiled once for all kernels. */
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>
#include <vector_types.h>
#include "kernels.h"

#undef __shared__
#undef __global__
#undef __device__
#undef __host__
#undef __forceinline__
#undef __launch_bounds__
#define __shared__ static /* blocks run one after the other */
#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __syncthreads emulator_syncthreads
#define __syncwarp emulator_syncwarp

using std::isfinite;
using std::isinf;
using std::isnan;
using std::max;
using std::min;
using std::signbit;

template <class To, class From> inline To same_bits(From from) {
    static_assert(sizeof(To) == sizeof(From), "");
    To to;
    std::memcpy(&to, &from, sizeof to);
    return to;
}
inline int __float_as_int(float x) { return same_bits<int>(x); }
inline unsigned __float_as_uint(float x) { return same_bits<unsigned>(x); }
inline float __int_as_float(int x) { return same_bits<float>(x); }
inline float __uint_as_float(unsigned x) { return same_bits<float>(x); }
inline long long __double_as_longlong(double x) { return same_bits<long long>(x); }
inline double __longlong_as_double(long long x) { return same_bits<double>(x); }
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
inline int __clz(int x) { return x ? __builtin_clz(x) : 32; }
inline unsigned long long umin(unsigned long long a, unsigned long long b) { return b < a ? b : a; }

/* No other thread is in between. */
template <class T> T atomicAdd(T *p, T value) { return std::exchange(*p, *p + value); }
template <class T> T atomicExch(T *p, T value) { return std::exchange(*p, value); }
template <class T, class U, class V> T atomicCAS(T *p, U expected, V value) {
    T old = *p;
    if (old == (T)expected) *p = (T)value;
    return old;
}

/* What another thread of the warp has for x; for blocks of one dimension. */
template <class T> T __shfl_xor_sync(unsigned, T x, int mask, int = 32) {
    static T of[1024];
    of[threadIdx.x] = x;
    __syncwarp();
    T other = of[threadIdx.x ^ mask];
    __syncwarp();
    return other;
}

/* float16 by its bits: 1 of sign, 5 of exponent, 10 of fraction. */
inline float __half2float(unsigned short half) {
    int exponent = half >> 10 & 31, fraction = half & 1023;
    float size = exponent == 31
                     ? (fraction ? NAN : INFINITY)
                     : std::ldexp(fraction + (exponent ? 1024.f : 0.f), std::max(exponent, 1) - 25);
    return half >> 15 ? -size : size;
}
inline unsigned short __float2half_rn(float x) {
    unsigned sign = __float_as_uint(x) >> 16 & 0x8000, size = __float_as_uint(x) & 0x7fffffff;
    if (size > 0x7f800000) return sign | 0x7e00;  /* not a number */
    if (size >= 0x47800000) return sign | 0x7c00; /* 65536 and more */
    if (size < 0x38800000)                        /* subnormal: in units of 2^-24 */
        return sign | (unsigned)std::nearbyint(std::ldexp(std::fabs(x), 24));
    size += 0x0fff + (size >> 13 & 1); /* to the nearest, or the even one */
    return sign | ((size - 0x38000000) >> 13);
}
struct half;
inline half __ushort_as_half(unsigned short);
inline unsigned short __half_as_ushort(const half &);

#include <cupy/complex.cuh>
#include <cupy/carray.cuh>
#include <cupy/atomics.cuh>
#include <cupy/math_constants.h>
#include <cupy/float16.cuh>

inline half __ushort_as_half(unsigned short bits) { return half(__half_raw{bits}); }
inline unsigned short __half_as_ushort(const half &x) { return __half_raw(x).x; }
