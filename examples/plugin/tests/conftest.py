pytest_plugins = ["segkit.conformance"]  # shows the values inside the suite's own asserts
