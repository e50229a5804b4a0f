"""The version of greenws, in a module without imports, so that every module may import it."""

__version__ = "1.0.0"
