// <mpi.h> without the C++ bindings that old versions of MPI bring: they would have to be linked.
#pragma once

#define OMPI_SKIP_MPICXX 1
#define MPICH_SKIP_MPICXX 1
#include <mpi.h>
