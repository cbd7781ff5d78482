"""One process role of the trade core: `python -m trade_svc serve|work|migrate`."""

from paymesh.process import main
from trade_svc.bootstrap import build
from trade_svc.settings import TradeSettings

if __name__ == "__main__":
    main("trade", TradeSettings, build)
