"""Values that kernels are compiled for: Numba types without a value at run time.

An instance of a class marked `compile_time` is, for Numba, a type of its own. Intrinsics find it as the
`value` of the argument's type; nothing is passed.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core.imputils import lower_constant
from numba.extending import intrinsic, models, register_model, typeof_impl


class CompileTime(types.Type):
    """The type of one value; equal values have equal representations."""

    def __init__(self, value: Any):
        self.value = value
        super().__init__(name=f"CompileTime({value!r})")


register_model(CompileTime)(models.OpaqueModel)


@lower_constant(CompileTime)
def _constant(context, builder, type_, value):
    return context.get_dummy_value()


def compile_time(cls):
    """Marks a frozen dataclass whose instances kernels are compiled for."""
    typeof_impl.register(cls)(lambda value, context: CompileTime(value))
    return cls


def number(count):
    """An intrinsic `(constant)` that gives the whole number `count(value)`."""

    @intrinsic
    def give(typingctx, constant):
        n = count(constant.value)

        def codegen(context, builder, signature, args):
            return ir.IntType(64)(n)

        return types.int64(constant), codegen

    return give
