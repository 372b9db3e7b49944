"""The suite on every installed format, or those of `--segkit-format`: what `pytest --pyargs segkit.conformance` finds.

The classes are made when pytest collects this module, by `segkit.conformance.pytest_session`.
"""
