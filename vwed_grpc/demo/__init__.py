"""Robots that are not there: executors of the example definitions, for `vwed-grpc demo`."""
