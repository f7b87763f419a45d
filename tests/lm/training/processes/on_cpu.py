"""Lets Accelerate shard on a CPU, for tests: it does so on accelerators only, and on a CPU quietly does not.

FSDP2 itself runs there, over gloo. So the state of Accelerate is told, once it is made, that its kind is FSDP.
"""

from accelerate.state import AcceleratorState
from accelerate.utils import DistributedType

from safedpo.lm import launch


def allow() -> None:
    made = AcceleratorState.__init__

    def init(self, *args, fsdp_plugin=None, **kwargs):
        made(self, *args, fsdp_plugin=fsdp_plugin, **kwargs)
        if fsdp_plugin is not None:
            self.distributed_type, self.fsdp_plugin = DistributedType.FSDP, fsdp_plugin

    AcceleratorState.__init__ = init
    launch.SHARDS_ON = (*launch.SHARDS_ON, "cpu")
