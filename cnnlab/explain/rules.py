def with_rule(function, rule):
    raise NotImplementedError
