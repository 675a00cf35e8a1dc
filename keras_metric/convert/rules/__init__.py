"""Rules that say how each kind of layer is rewritten.

Every file of this folder is imported automatically, so a rule in a new file is registered.
"""

from importlib import import_module
from pkgutil import iter_modules

for _, name, _ in iter_modules(__path__):
    import_module(f"{__name__}.{name}")
