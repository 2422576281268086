from dorl.runtime.results import result_names


def test_result_names_never_collide() -> None:
    names = result_names(["a/x.png", "b/x.png", "a/y.png", "c/z.png", "c/z.jpg"])
    assert names == ["a_x.png", "b_x.png", "y.png", "c_z_png.png", "c_z_jpg.png"]
    alike = result_names(["a/x.png", "a_x.png", "b/x.png", "a_x_png.png", "a_x_png_2.png"])
    assert len(set(alike)) == 5


def test_a_drive_of_windows_is_no_part_of_a_name() -> None:
    names = result_names(["C:/a/x.png", "D:/a/x.png", "C:/b/y.png"])
    assert names == ["C_a_x.png", "D_a_x.png", "y.png"]
