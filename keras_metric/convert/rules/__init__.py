"""How each kind of layer is rewritten: the table of rules, and the rules by family.

Every file of this folder is imported with it: a rule in a new file is in the table by itself.
"""

from importlib import import_module
from pkgutil import iter_modules

for _, name, _ in iter_modules(__path__):
    import_module(f"{__name__}.{name}")
