# Source this before mpirun. Open MPI refuses to run as root unless told twice that it is meant,
# which is right on a shared machine and in the way inside a container.
if [ "$(id -u)" -eq 0 ]; then
  export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
fi
