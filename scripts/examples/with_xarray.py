#!/usr/bin/env python3
"""A results file as xarray datasets, which join by the names of their coordinates (`task`).

    with_xarray.py results.h5
"""
import sys

import h5py
import numpy
import xarray


def dataset(path, group):
    """One group, without h5netcdf or netCDF4: dimension scales name the dimensions."""
    with h5py.File(path) as run:
        arrays, coordinates = {}, {}
        for name, values in run[group].items():
            if not isinstance(values, h5py.Dataset) or h5py.h5ds.is_scale(values.id):
                continue
            dims = tuple(dim.label for dim in values.dims)
            for dim in values.dims:
                if len(dim):
                    scale = dim[0]
                    coordinates[dim.label] = scale.asstr()[:] if h5py.check_string_dtype(scale.dtype) else scale[:]
            content = values.asstr()[...] if h5py.check_string_dtype(values.dtype) else values[...]
            arrays[name] = (dims, content, {k: v for k, v in values.attrs.items() if k in ("long_name", "units")})
    return xarray.Dataset(arrays, coordinates)


if __name__ == "__main__":
    result, baseline = dataset(sys.argv[1], "result"), dataset(sys.argv[1], "baseline")
    print(result, "\n")
    kept = (baseline.base - result.loss.min("cluster")) / (baseline.base - baseline.own)
    print(kept.sortby(kept)[:5], "\n")
    print("tasks by cluster:", dict(zip(*numpy.unique(result.assignment, return_counts=True))))
