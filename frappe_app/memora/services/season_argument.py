"""One argument, two names: callers say ``season`` or ``season_name`` for the same thing."""

import functools
import inspect

NAMES = ("season", "season_name")


def either_name(function):
	"""Let callers use the other name of the season's parameter too.

	Saying both is a TypeError, as for any argument that is given twice.
	"""
	own = next(name for name in NAMES if name in inspect.signature(function).parameters)
	other = NAMES[1 - NAMES.index(own)]

	@functools.wraps(function)
	def call(*args, **kwargs):
		if other in kwargs:
			if own in kwargs:
				raise TypeError(f"{function.__name__}() got both {own} and {other}")
			kwargs[own] = kwargs.pop(other)
		return function(*args, **kwargs)

	return call
