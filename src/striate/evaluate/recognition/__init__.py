"""How well do networks behind a front-end recognize, and generalize? `train`."""
