# A Spack recipe. From a checkout:
#     spack repo add packaging/spack && spack dev-build d2c@main
from spack.package import *


class D2c(CMakePackage):
    """Data-driven clustering and merging of LoRA adapters, as a distributed MPI program."""

    license("Apache-2.0", checked_by="d2c developers")

    version("main", branch="main")

    variant("python", default=True, description="Reports, exports and chat templates, which run in Python")

    depends_on("c", type="build")
    depends_on("cxx", type="build")
    depends_on("cmake@3.25:", type="build")
    depends_on("ninja", type="build")
    depends_on("pkgconfig", type="build")
    depends_on("mpi")
    depends_on("eigen@3.4:3")
    depends_on("hdf5@1.10: +hl ~mpi")
    depends_on("boost@1.74: +program_options +math")
    depends_on("fmt@9:")
    depends_on("nlohmann-json@3.11:")
    depends_on("pcre2")
    depends_on("icu4c@70:")
    depends_on("zlib-api")
    with when("+python"):
        depends_on("python@3.9:", type="run")
        depends_on("py-numpy", type="run")
        depends_on("py-h5py", type="run")
        depends_on("py-jinja2", type="run")
        depends_on("py-matplotlib", type="run")

    generator("ninja")
    conflicts("%gcc@:11")

    def cmake_args(self):
        return [self.define("D2C_BUILD_TESTS", False)]

    def setup_run_environment(self, env):
        if self.spec.satisfies("+python"):
            env.set("D2C_PYTHON", self.spec["python"].command.path)
