"""One process role of clearing: `python -m clearing_svc serve|work|migrate`."""

from clearing_svc.bootstrap import build
from clearing_svc.settings import ClearingSettings
from paymesh.process import main

if __name__ == "__main__":
    main("clearing", ClearingSettings, build)
