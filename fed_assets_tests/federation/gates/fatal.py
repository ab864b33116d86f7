"""A module that ends the process that loads it, when there is a file `fatal`."""

import os

from fed_assets_tests.federation.gates import wait

wait("fatal")
os._exit(3)
