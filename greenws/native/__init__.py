"""The few functions that the compiled core has in C, by topic, where Python's own way costs more.

Each module here holds the plain Python of its functions, which is what the pure build runs. The
``.pxd`` of the same name holds the same functions in C and REPLACES the Python ones in every
compiled module that cimports it: the C is inlined there, so neither file is compiled by itself.
A function has its place here by a figure, which stands beside it in the ``.pxd``.
"""
