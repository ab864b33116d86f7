"""A module that is loaded when there is a file `second`."""

from fed_assets_tests.federation.gates import wait

wait("second")
