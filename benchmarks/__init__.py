"""Measurements that anyone can run; each script says what it needs."""
