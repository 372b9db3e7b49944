"""The tests of the suite, one module a stage; `segkit.conformance.suite` puts them together."""
