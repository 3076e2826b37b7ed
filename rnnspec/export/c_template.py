"""The parts of an exported header that are the same for every network."""

from __future__ import annotations

from string import Template

__all__ = ["BOUND", "HEADER", "LOAD", "RUN", "SAYS"]

HEADER = Template("""/*
 * $name: a recurrent network, which rnnspec wrote from its equations.
 *
 * Define ${NAME}_IMPLEMENTATION in one file before you include this header there; include it as it is in all others.
 * A step reads $reads and writes $features numbers. Nothing is allocated: a stream is one ${name}_state.
$usage */
#ifndef ${NAME}_H
#define ${NAME}_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

#define ${NAME}_INPUTS $inputs
#define ${NAME}_FEATURES $features
$bound
/* The state of a stream, and the memory that a step works with. */
typedef struct {
$members
} ${name}_state;

$declarations
#ifdef __cplusplus
}
#endif

#endif

#ifdef ${NAME}_IMPLEMENTATION

#include <float.h>
#include <math.h>
#include <string.h>

/* Maps lie column by column, those that are multiplied together one below the other. */
typedef struct {
$weights
} ${name}_weights_type;

""")

SAYS = {
    "reset": "Begin a stream anew, from $begin.",
    "step": "One step of a stream: x has $x, y gets ${NAME}_FEATURES numbers.$wrong",
    "run": "So many steps, one after the other, $where. Returns 0$refused.",
    "load": "Take the weights from a file $file of so many bytes, before anything runs. Returns 0, or -1 and takes "
            "nothing\n * where these are not the weights of this network.",
}
"""What each function does."""

BOUND = Template("""
/* The most steps of a sequence: the network also reads backwards, so it keeps all of them. */
#ifndef ${NAME}_MAX_STEPS
#define ${NAME}_MAX_STEPS $most_steps
#endif
""")

RUN = Template("""
int ${name}_run(const $given *x, size_t steps, ${name}_state *state, $real *y)
{
    size_t t;
$body
    return 0;
}
""")

LOAD = Template("""
static ${name}_weights_type ${name}_weights;

int ${name}_load(const void *file, size_t size)
{
    static const unsigned char signature[16] = {$signature};
    static const $real one = $one;
    const unsigned char *const bytes = file;
    if (size != 24 + $size || memcmp(bytes, signature, 16) || memcmp(bytes + 16, &one, sizeof one))
        return -1;
    memcpy(&${name}_weights, bytes + 24, $size);
    return 0;
}
""")
