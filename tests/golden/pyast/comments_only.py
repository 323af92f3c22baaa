# nothing

    # but comments
