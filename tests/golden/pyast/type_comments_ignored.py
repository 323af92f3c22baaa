import a  # type: ignore
import b  # type: ignore[attr-defined]
import c  #type:ignore # noqa
x = 1  # type:   ignore
y = 1  # type: ignored
z = 1  # typed: int
