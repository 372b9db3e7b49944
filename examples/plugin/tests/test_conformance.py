from segkit.conformance import BackendSuite


class TestNumpy(BackendSuite):
    format = "numpy"
