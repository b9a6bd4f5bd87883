"""The environment of programs: devices, memory pages, compiler options and the compilation cache."""
