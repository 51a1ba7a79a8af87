"""The file that a Flex Template's launcher starts (FLEX_TEMPLATE_PYTHON_PY_FILE in the deploy/docker/Dockerfile)."""

import sys

from configs import cli
from pipeline.beam import template

if __name__ == "__main__":
    sys.exit(cli.run(template.main))
