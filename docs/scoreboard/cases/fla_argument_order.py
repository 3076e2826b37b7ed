import inspect

from fla.ops.gated_delta_rule.naive import naive_chunk_gated_delta_rule, naive_recurrent_gated_delta_rule

assert list(inspect.signature(naive_recurrent_gated_delta_rule).parameters)[:5] == ["q", "k", "v", "beta", "g"]
assert list(inspect.signature(naive_chunk_gated_delta_rule).parameters)[:5] == ["q", "k", "v", "g", "beta"]
