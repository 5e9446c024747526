# What it has is in wait.pxd: no name of it is visible to Python.
