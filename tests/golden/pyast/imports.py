import a
import a, b
import a.b.c
import a as b
import a.b as c, d as e
from a import b
from a import b as c, d
from a.b import (c, d,)
from a import *
