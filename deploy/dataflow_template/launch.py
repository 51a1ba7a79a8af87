"""The program of the Flex Template's launcher; FLEX_TEMPLATE_PYTHON_PY_FILE in deploy/docker/Dockerfile names it."""

import sys

from configs import cli
from pipeline.beam import template

if __name__ == "__main__":
    sys.exit(cli.run(template.main))
