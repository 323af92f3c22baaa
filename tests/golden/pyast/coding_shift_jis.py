# coding: shift_jis
name = 'テスト'  # type: 日本
