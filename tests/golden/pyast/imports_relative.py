from . import a
from .. import a as b
from .a import b
from ...a.b import c
from .... import d
