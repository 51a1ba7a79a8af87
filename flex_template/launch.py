"""The file that a Flex Template's launcher starts (FLEX_TEMPLATE_PYTHON_PY_FILE in the Dockerfile)."""

import sys

from configs import commands
from pipeline import template

if __name__ == "__main__":
    sys.exit(commands.run(template.main))
