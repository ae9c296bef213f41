from cachemw.engine.entry import *  # noqa
