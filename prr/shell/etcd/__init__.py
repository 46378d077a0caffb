"""etcd as the store that several binders share; loaded only if a binder is told of one."""
