"""`%config PgMagics` sets the defaults of a notebook's cells."""

from tests.kernels import Kernel


def test_defaults_are_those_of_the_notebook(own_kernel: Kernel) -> None:
    own_kernel.run('%config PgMagics.dtypes = "arrow"\n%config PgMagics.limit = 2').ok()
    dtypes = "(x.dtypes.astype(str).tolist(), len(x))"
    own_kernel.run("%%pg a\nx << select generate_series(1, 3) as n, 'a' as t").ok()
    assert own_kernel.value(dtypes) == (["int32[pyarrow]", "large_string[pyarrow]"], 2)
    own_kernel.run("%%pg a --dtypes numpy\nx << select generate_series(1, 3) as n").ok()
    assert own_kernel.value(dtypes) == (["int32"], 2)
    shown = own_kernel.run("%config PgMagics").ok().stdout
    for name in "dtypes numeric json tz timeout limit tag stats progress".split():
        assert f"PgMagics.{name}=" in shown


def test_what_is_wrong_is_said_and_changes_nothing(own_kernel: Kernel) -> None:
    said = own_kernel.run('%config PgMagics.numerik = "exact"').stderr
    assert "PgMagics has no setting numerik; did you mean numeric?" in said
    said = own_kernel.run('%config PgMagics.dtypes = "arrows"').stderr
    assert "PgMagics.dtypes takes numpy or arrow, not 'arrows'; did you mean arrow?" in said
    assert own_kernel.value("get_ipython().pgmagic.dtypes") == "numpy"
    said = own_kernel.run("%%pg a --dtypes arrows\nselect 1").failed("CellError").traceback
    assert "--dtypes takes numpy or arrow, not 'arrows'; did you mean arrow?" in said
