-- Lmod. `cmake --install BUILD --prefix PREFIX`, then copy this file to MODULEPATH/d2c/VERSION.lua
-- and set the prefix and the MPI that d2c was built with.
local prefix = "/opt/d2c"

help([[d2c clusters and merges LoRA adapters: d2c help, man d2c]])
whatis("Name: d2c")
whatis("Description: data-driven clustering and merging of LoRA adapters (MPI)")

depends_on("openmpi")
prepend_path("PATH", pathJoin(prefix, "bin"))
prepend_path("MANPATH", pathJoin(prefix, "share/man"))
prepend_path("XDG_DATA_DIRS", pathJoin(prefix, "share"))
-- setenv("D2C_PYTHON", "/path/of/a/python3/with/h5py/jinja2/matplotlib")
