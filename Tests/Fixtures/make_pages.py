#!/usr/bin/env python3
"""Makes the pages that lie in the simulated scanner's feeder: A4 at 300 dpi, as JPEG.

    make_pages.py [DIRECTORY]      writes page-1.jpg to page-4.jpg and page-1-grey.jpg to page-4-grey.jpg

A scanner asked for colour answers in colour, asked for grey in grey, whatever lies on the glass; so each page is there
in both.

Every person, number, authority and document on them is invented, and every page says 样例 SAMPLE.
The same versions of Pillow and of the Noto CJK fonts give the same bytes.
Needs: Pillow, fonts-noto-cjk.
"""

import math
import random
import sys
from pathlib import Path

from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageFont

DPI = 300
WIDTH, HEIGHT = 2480, 3508
PAPER = (251, 250, 246)
WHITE = (250, 250, 250)
BLACK = (34, 32, 34)
GREY = (120, 118, 118)
INK = (38, 52, 112)
RED = (200, 34, 40)
FONTS = "/usr/share/fonts/opentype/noto/"
SIMPLIFIED = 2  # the Simplified Chinese face of a Noto CJK collection


def mm(value):
    return round(value * DPI / 25.4)


def font(points, family="Serif", weight="Regular"):
    size = round(points * DPI / 72)
    return ImageFont.truetype(f"{FONTS}Noto{family}CJK-{weight}.ttc", size, index=SIMPLIFIED)


SONG, SONG_BOLD = ("Serif", "Regular"), ("Serif", "Bold")
HEI, HEI_BOLD = ("Sans", "Regular"), ("Sans", "Bold")


class Page:
    """A sheet; lengths in millimetres from the top left corner, sizes of type in points."""

    def __init__(self, seed, paper=PAPER):
        self.image = Image.new("RGB", (WIDTH, HEIGHT), paper)
        self.draw = ImageDraw.Draw(self.image)
        self.random = random.Random(seed)

    def text(self, x, y, words, points=10.5, face=SONG, colour=BLACK, anchor="ls", spacing=0):
        face = font(points, *face)
        if not spacing:
            self.draw.text((mm(x), mm(y)), words, font=face, fill=colour, anchor=anchor)
            return
        total = sum(face.getlength(c) for c in words) + mm(spacing) * (len(words) - 1)
        left = mm(x) - (total / 2 if anchor[0] == "m" else 0)
        for character in words:
            self.draw.text((left, mm(y)), character, font=face, fill=colour, anchor="ls")
            left += face.getlength(character) + mm(spacing)

    def paragraph(self, x, y, width, words, points=12, face=SONG, leading=1.75, indent=2):
        """Sets a paragraph and returns the height of the next line."""
        type_ = font(points, *face)
        step = points / 72 * 25.4 * leading
        line, used, limit = [], indent * type_.size, mm(width)
        left = indent * type_.size
        for index, character in enumerate(words):
            advance = type_.getlength(character)
            closes = character in "，。；：、）”！"
            if used + advance > limit and not closes:
                self._line(x, y, left, line, type_)
                y, line, used, left = y + step, [], 0, 0
            line.append(character)
            used += advance
        self._line(x, y, left, line, type_)
        return y + step

    def _line(self, x, y, left, line, type_):
        self.draw.text((mm(x) + left, mm(y)), "".join(line), font=type_, fill=BLACK, anchor="ls")

    def written(self, x, y, words, points=13, colour=INK):
        """Words filled in by hand: each character a little off its place."""
        type_ = font(points, *SONG)
        left = mm(x)
        for character in words:
            size = type_.size * 2
            tile = Image.new("L", (size, size))
            ImageDraw.Draw(tile).text((size / 2, size / 2), character, font=type_, fill=235, anchor="mm")
            tile = tile.rotate(self.random.uniform(-5, 5), Image.Resampling.BICUBIC)
            advance = type_.getlength(character)
            dx, dy = self.random.uniform(-2, 2), self.random.uniform(-4, 4)
            at = (round(left + advance / 2 - size / 2 + dx), round(mm(y) - type_.size * 0.36 - size / 2 + dy))
            self.image.paste(Image.new("RGB", tile.size, colour), at, tile)
            left += advance * 0.97
        self.draw = ImageDraw.Draw(self.image)

    def line(self, x1, y1, x2, y2, weight=0.2, colour=BLACK):
        self.draw.line((mm(x1), mm(y1), mm(x2), mm(y2)), fill=colour, width=max(1, mm(weight)))

    def frame(self, x, y, width, height, weight=0.2, colour=BLACK):
        self.draw.rectangle(
            (mm(x), mm(y), mm(x + width), mm(y + height)), outline=colour, width=max(1, mm(weight)))

    def box(self, x, y, words, ticked=False):
        self.frame(x, y - 3.1, 3.3, 3.3, 0.22)
        self.text(x + 4.6, y, words)
        if ticked:
            wobble = [self.random.uniform(-0.3, 0.3) for _ in range(6)]
            points = [(x + 0.4, y - 1.7), (x + 1.5 + wobble[0], y - 0.2), (x + 2.3, y - 1.9 + wobble[1]),
                      (x + 4.4 + wobble[2], y - 4.7 + wobble[3])]
            self.draw.line([(mm(a), mm(b)) for a, b in points], fill=INK, width=7, joint="curve")

    def rows(self, x, y, widths, heights):
        """The lines of a table; returns the left edges of its columns and the top edges of its rows."""
        lefts = [x + sum(widths[:i]) for i in range(len(widths) + 1)]
        tops = [y + sum(heights[:i]) for i in range(len(heights) + 1)]
        for left in lefts[1:-1]:
            self.line(left, tops[0], left, tops[-1])
        for top in tops[1:-1]:
            self.line(lefts[0], top, lefts[-1], top)
        self.frame(x, y, sum(widths), sum(heights), 0.4)
        return lefts, tops

    def sample_mark(self, x=167, y=11, colour=RED):
        """Says in a corner and across the sheet that this is a sample."""
        side = round(math.hypot(WIDTH, HEIGHT))
        mark = Image.new("L", (side, side))
        draw = ImageDraw.Draw(mark)
        for row in range(-3, 4):
            for column in range(-1, 2):
                at = (side / 2 + WIDTH * (column + 0.5 * (row % 2)) * 0.7, side / 2 + row * HEIGHT * 0.18)
                draw.text(at, "样例 SAMPLE", font=font(30, *HEI_BOLD), fill=19, anchor="mm")
        mark = mark.rotate(24, Image.Resampling.BILINEAR)
        corner = ((side - WIDTH) // 2, (side - HEIGHT) // 2)
        mark = mark.crop((*corner, corner[0] + WIDTH, corner[1] + HEIGHT))
        self.image.paste(Image.new("RGB", mark.size, (110, 110, 120)), (0, 0), mark)
        self.draw = ImageDraw.Draw(self.image)
        self.frame(x, y, 28, 8.5, 0.35, colour)
        self.text(x + 14, y + 4.3, "样例 SAMPLE", 9.5, HEI_BOLD, colour, "mm")

    def stamp(self, x, y, radius, authority, purpose, turn=0, strength=0.86):
        """A round red stamp: ring, star, the authority's name around it, the purpose below."""
        size = mm(radius * 2.2) * 2
        layer = Image.new("L", (size, size))
        draw = ImageDraw.Draw(layer)
        middle, edge = size / 2, mm(radius) * 2
        draw.ellipse([middle - edge, middle - edge, middle + edge, middle + edge], outline=255, width=mm(0.9) * 2)
        star = []
        for corner in range(10):
            reach = edge * (0.30 if corner % 2 == 0 else 0.115)
            angle = math.radians(corner * 36 - 90)
            star.append((middle + reach * math.cos(angle), middle + reach * math.sin(angle)))
        draw.polygon(star, fill=255)
        type_ = font(radius * 0.82 * 2, *SONG_BOLD)
        span = min(250, 27 * len(authority))
        for index, character in enumerate(authority):
            angle = -span / 2 + span * index / (len(authority) - 1)
            tile = Image.new("L", (type_.size * 2, type_.size * 2))
            ImageDraw.Draw(tile).text((type_.size, type_.size), character, font=type_, fill=255, anchor="mm")
            tile = tile.resize((round(tile.width * 0.8), round(tile.height * 1.1))).rotate(
                -angle, Image.Resampling.BICUBIC, expand=True)
            cx = middle + edge * 0.76 * math.sin(math.radians(angle))
            cy = middle - edge * 0.76 * math.cos(math.radians(angle))
            layer.paste(255, (round(cx - tile.width / 2), round(cy - tile.height / 2)), tile)
        draw.text((middle, middle + edge * 0.60), purpose, font=font(radius * 0.5 * 2, *SONG_BOLD), fill=255,
                  anchor="mm")
        layer = layer.rotate(turn, Image.Resampling.BICUBIC).resize((size // 2, size // 2), Image.Resampling.LANCZOS)
        # Ink lies unevenly: a coarse cloud thins it here and there.
        cloud = Image.new("L", (24, 24))
        cloud.putdata([self.random.randint(175, 255) for _ in range(24 * 24)])
        cloud = cloud.resize(layer.size, Image.Resampling.BICUBIC)
        layer = ImageChops.multiply(layer, cloud).point(lambda v: round(v * strength))
        at = (mm(x) - layer.width // 2, mm(y) - layer.height // 2)
        area = (*at, at[0] + layer.width, at[1] + layer.height)
        under = self.image.crop(area)
        inked = ImageChops.multiply(under, Image.new("RGB", layer.size, (232, 62, 60)))
        self.image.paste(Image.composite(inked, under, layer), at)
        self.draw = ImageDraw.Draw(self.image)

    def scribble(self, x, y, width, strokes=3):
        """Something like a signature: joined loops that are no writing."""
        pen, left = [], x
        for stroke in range(strokes):
            reach = width / strokes
            for step in range(90):
                t = step / 89
                loop = 2 * math.pi * (2.2 + stroke % 2) * t
                px = left + reach * t + 2.4 * math.sin(loop) * (1 - 0.4 * t)
                py = y - 2.6 + (3.6 - 2.2 * t) * math.cos(loop + stroke) - 2.5 * math.sin(math.pi * t)
                pen.append((px + self.random.uniform(-0.05, 0.05), py + self.random.uniform(-0.05, 0.05)))
            left += reach * 0.92
        pen += [(left + 2 + 14 * t / 20, y - 1 - 3 * math.sin(t / 20 * 3)) for t in range(21)]
        for index, (a, b) in enumerate(zip(pen, pen[1:])):
            weight = 4 + round(2.5 * abs(math.sin(index / 17)))
            self.draw.line((mm(a[0]), mm(a[1]), mm(b[0]), mm(b[1])), fill=INK, width=weight)

    def scanned(self, angle=0.0, noise=2):
        """The sheet as it comes out of a scanner: slightly turned, soft, with a shadow at the edge and dust."""
        image = self.image
        if angle:
            image = image.rotate(angle, Image.Resampling.BICUBIC, fillcolor=(236, 236, 234))
        image = image.filter(ImageFilter.GaussianBlur(0.8))
        # Fibres and lamp: clouds a shade or two deep, coarse enough to cost few bytes.
        small = (WIDTH // 40, HEIGHT // 40)
        cloud = Image.frombytes("L", small, bytes(
            255 - (value * noise >> 7) for value in self.random.randbytes(small[0] * small[1])))
        lamp = Image.new("L", (5, 7))
        lamp.putdata([self.random.randint(250, 255) for _ in range(35)])
        for layer in (cloud, lamp):
            layer = layer.resize(image.size, Image.Resampling.BICUBIC)
            image = ImageChops.multiply(image, Image.merge("RGB", (layer, layer, layer)))
        draw = ImageDraw.Draw(image)
        for depth, shade in enumerate((206, 222, 233, 240)):
            draw.line((depth, 0, depth, HEIGHT), fill=(shade, shade, shade))
        for _ in range(14):
            px, py = self.random.randrange(WIDTH), self.random.randrange(HEIGHT)
            size = self.random.choice((1, 2, 2, 3))
            draw.ellipse((px, py, px + size, py + size), fill=(150, 148, 146))
        return image


def application():
    page = Page(1)
    page.sample_mark()
    page.text(105, 33, "示范市政务服务事项申请表", 20, SONG_BOLD, anchor="ms", spacing=0.8)
    page.text(20, 44, "受理窗口：03 号", 10)
    page.text(105, 44, "填表日期：2026 年 3 月 2 日", 10, anchor="ms")
    page.text(190, 44, "编号：SF-2026-000123", 10, anchor="rs")
    left, width = 20, 170
    heights = [10.5, 10.5, 10.5, 10.5, 10.5, 26, 34, 38, 34]
    tops = [47 + sum(heights[:i]) for i in range(len(heights) + 1)]
    page.frame(left, tops[0], width, sum(heights), 0.45)
    for top in tops[1:-1]:
        page.line(left, top, left + width, top)
    page.line(left + 30, tops[0], left + 30, tops[-1])

    def label(row, words, x=left + 15):
        lines = words.split("\n")
        centre = (tops[row] + tops[row + 1]) / 2
        for index, line in enumerate(lines):
            page.text(x, centre + (index - (len(lines) - 1) / 2) * 6, line, 10.5, SONG, anchor="mm")

    def columns(row, *edges):
        for edge in edges:
            page.line(left + edge, tops[row], left + edge, tops[row + 1])

    columns(0, 80, 105)
    label(0, "申请人姓名")
    page.written(left + 34, tops[1] - 3.2, "张测试")
    label(0, "性　　别", left + 92.5)
    page.box(left + 110, tops[1] - 3.6, "男")
    page.box(left + 127, tops[1] - 3.6, "女", True)
    columns(1, 80, 105)
    label(1, "民　　族")
    page.written(left + 34, tops[2] - 3.2, "汉")
    label(1, "出生日期", left + 92.5)
    page.written(left + 110, tops[2] - 3.2, "1949年12月31日")
    label(2, "公民身份号码")
    number = "11010519491231002X"
    for index, digit in enumerate(number):
        page.frame(left + 34 + index * 7.2, tops[2] + 2, 7.2, 6.5, 0.15)
        page.written(left + 36.2 + index * 7.2, tops[3] - 3.2, digit)
    label(3, "住　　址")
    page.written(left + 34, tops[4] - 3.2, "北京市朝阳区样例路1号")
    columns(4, 80, 105)
    label(4, "联系电话")
    page.written(left + 34, tops[5] - 3.2, "000-00000000")
    label(4, "邮政编码", left + 92.5)
    page.written(left + 110, tops[5] - 3.2, "000000")
    label(5, "申请事项\n（可多选）")
    choices = ["个体工商户登记", "食品经营备案", "户外招牌设置", "公共场所卫生许可", "变更登记", "其他："]
    for index, choice in enumerate(choices):
        x, y = left + 35 + (index % 3) * 45, tops[5] + 9.5 + (index // 3) * 10
        page.box(x, y, choice, index in (0, 2))
    page.line(left + 141, tops[5] + 20.2, left + 165, tops[5] + 20.2, 0.15)
    label(6, "提交材料")
    papers = [("申请人身份证复印件", "1 份", True), ("经营场所使用证明", "1 份", True),
              ("申请承诺书", "1 份", True), ("委托代理人证明（委托办理时）", "0 份", False)]
    for index, (paper, count, ticked) in enumerate(papers):
        page.box(left + 35, tops[6] + 8 + index * 7.2, paper, ticked)
        page.text(left + 160, tops[6] + 8 + index * 7.2, count, 10.5, anchor="rs")
    label(7, "申请人承诺")
    page.paragraph(left + 34, tops[7] + 8, 132, "本人保证以上填写的内容和提交的材料真实、合法、有效，复印件与原件一致；"
                   "如有不实，愿意承担由此产生的相应责任。", 10.5, leading=1.6)
    page.text(left + 88, tops[8] - 5, "申请人签名：", 10.5)
    page.scribble(left + 113, tops[8] - 5.5, 24, 2)
    label(8, "受理意见")
    page.paragraph(left + 34, tops[8] + 8, 132, "材料齐全，符合法定形式，予以受理。", 10.5)
    page.text(left + 88, tops[9] - 5, "2026 年 3 月 2 日", 10.5)
    page.stamp(left + 128, tops[9] - 14, 19, "示范市行政审批局", "受理专用章", 7)
    page.text(20, 268, "说明：1. 本表一式一份，用黑色或蓝黑色墨水填写，字迹清楚。", 9, colour=GREY)
    page.text(20, 274, "　　　2. 凭编号可在大厅自助终端查询办理进度。本表为样例，所载人员、机构与号码均为虚构。", 9, colour=GREY)
    page.text(105, 286, "— 1 —", 9, colour=GREY, anchor="ms")
    return page.scanned(0.15)


def declaration():
    page = Page(2)
    page.sample_mark()
    page.text(105, 40, "申请承诺书", 24, SONG_BOLD, anchor="ms", spacing=3)
    y = page.paragraph(26, 58, 158, "示范市行政审批局：", indent=0)
    for words in (
        "本人张测试，公民身份号码11010519491231002X，就申请办理“样例便民店”个体工商户登记一事，"
        "郑重作出如下承诺：",
        "一、所填写的申请表及提交的全部材料真实、合法、有效，不存在隐瞒、伪造或者变造的情形；复印件均与原件一致。",
        "二、已经知晓办理上述事项应当具备的条件，以及经营场所的使用要求，并确认自身符合这些条件；"
        "未达到条件之前，不从事相关经营活动。",
        "三、经营场所设在示范市样例区样例路1号1层，用途为零售，建筑面积36平方米，不改变房屋主体结构，"
        "不占用消防通道，不影响相邻方的通行和采光。",
        "四、登记事项发生变化的，自变化之日起三十日内申请变更登记；按时报送年度报告，接受监督检查。",
        "五、同意行政机关通过政务信息共享平台核验本人提交的信息，仅用于本事项的办理。",
        "六、如违反上述承诺，愿意承担由此产生的责任，并接受依法作出的处理。",
    ):
        y = page.paragraph(26, y + 1.5, 158, words)
    page.text(26, y + 6, "　　本承诺书自签字之日起生效。", 12)
    page.text(104, 236, "承诺人（签字）：", 12)
    page.scribble(139, 236, 30, 3)
    page.text(104, 250, "日　　　　　期：", 12)
    page.written(139, 250, "2026年3月2日", 14)
    page.line(20, 276, 190, 276, 0.15, GREY)
    page.text(20, 281.5, "本承诺书为样例，所载人员、机构与号码均为虚构。", 9, colour=GREY)
    page.text(105, 289, "— 2 —", 9, colour=GREY, anchor="ms")
    return page.scanned(-0.25)


def fees():
    page = Page(3, WHITE)
    page.sample_mark(colour=GREY)
    page.text(105, 34, "示范市行政审批局收费事项一览表", 18, HEI_BOLD, anchor="ms")
    page.text(20, 44, "执行日期：2026 年 1 月 1 日起", 9.5, HEI)
    page.text(190, 44, "单位：元", 9.5, HEI, anchor="rs")
    widths = [13, 62, 20, 25, 50]
    heads = ["序号", "收费项目", "计量单位", "收费标准", "依据与说明"]
    items = [
        ("企业登记", "户", "免费", "停征"), ("个体工商户登记", "户", "免费", "停征"),
        ("登记证照遗失补发", "证", "10.00", "样例价字〔2025〕1 号"), ("档案查询（本人）", "次", "免费", "凭有效证件"),
        ("档案复制", "页", "0.50", "A4 黑白"), ("档案复制（彩色）", "页", "2.00", "A4 彩色"),
        ("图纸复制", "张", "8.00", "A1 以内"), ("占道施工许可", "平方米·天", "0.30", "样例价字〔2024〕7 号"),
        ("户外招牌设置", "块", "免费", "仅登记"), ("不动产登记（住宅）", "件", "80.00", "含一本证书"),
        ("不动产登记（非住宅）", "件", "550.00", "含一本证书"), ("不动产权证书工本", "本", "10.00", "每增加一本"),
        ("考试报名（笔试）", "科", "45.00", "样例价字〔2025〕3 号"), ("考试报名（实操）", "科", "70.00", "样例价字〔2025〕3 号"),
        ("邮寄送达", "件", "免费", "本市范围内"), ("加急制证", "证", "免费", "两个工作日"),
        ("公共停车（办事）", "次", "免费", "两小时内"), ("材料打印", "页", "免费", "每人每日 20 页内"),
    ]
    lefts, tops = page.rows(20, 48, widths, [11] + [10.2] * len(items))
    page.draw.rectangle((mm(20) + 5, mm(48) + 5, mm(190) - 5, mm(59) - 2), fill=(224, 224, 222))
    for left in lefts[1:-1]:
        page.line(left, tops[0], left, tops[1])
    for column, head in enumerate(heads):
        page.text((lefts[column] + lefts[column + 1]) / 2, 53.6, head, 10.5, HEI_BOLD, anchor="mm")
    for row, (item, unit, price, note) in enumerate(items, 1):
        centre = (tops[row] + tops[row + 1]) / 2
        page.text((lefts[0] + lefts[1]) / 2, centre, str(row), 10, HEI, anchor="mm")
        page.text(lefts[1] + 2.5, centre, item, 10, HEI, anchor="lm")
        page.text((lefts[2] + lefts[3]) / 2, centre, unit, 9.5, HEI, anchor="mm")
        page.text(lefts[4] - 3, centre, price, 10, HEI, anchor="rm")
        page.text(lefts[4] + 2.5, centre, note, 9, HEI, anchor="lm")
    y = tops[-1] + 9
    for note in ("注：1. 表列以外不收取任何费用；收费一律开具财政电子票据。",
                 "　　2. 残疾人、低保对象凭证件减半收取第 5 至 7 项费用。",
                 "　　3. 咨询与监督电话：000-00000000（样例，所载机构、标准与号码均为虚构）。"):
        page.text(20, y, note, 9.5, HEI)
        y += 6.8
    page.text(105, 288, "— 3 —", 9, HEI, GREY, "ms")
    return page.scanned(0.1)


def certificate():
    page = Page(4)
    gold, pale = (176, 136, 66), (214, 190, 138)
    for inset, weight, colour in ((12, 1.1, gold), (14.2, 0.3, gold), (21.5, 0.3, gold), (23, 0.7, gold)):
        page.frame(inset, inset, 210 - 2 * inset, 297 - 2 * inset, weight, colour)
    # The band between the frames: interlaced waves along each side.
    for shift in (0, math.pi):
        for start, end, along in ((17, 193, "x"), (17, 280, "y")):
            for fixed in ((17.85, 279.15) if along == "x" else (17.85, 192.15)):
                wave = []
                for step in range(1200):
                    t = start + (end - start) * step / 1199
                    offset = 2.6 * math.sin((t - start) * math.pi * 2 / 17.6 + shift)
                    wave.append((mm(t), mm(fixed + offset)) if along == "x" else (mm(fixed + offset), mm(t)))
                page.draw.line(wave, fill=pale, width=3)
    page.sample_mark(150, 30)
    page.text(105, 66, "登记证书", 40, SONG_BOLD, (120, 40, 34), "ms", 4)
    page.text(105, 79, "（副　本）", 16, SONG, anchor="ms")
    page.text(105, 94, "登记号码　SAMPLE-0000-0000-000X", 12, HEI, anchor="ms")
    rows = [("名　　称", "样例便民店（虚构）"), ("类　　型", "个体工商户"), ("经 营 者", "张测试"),
            ("组成形式", "个人经营"), ("经营场所", "示范市样例区样例路1号1层"),
            ("经营范围", "日用百货零售；文具用品零售（依法须经批准"), ("", "的项目，经批准后方可开展经营活动）"),
            ("注册日期", "2026年03月02日")]
    for index, (name, content) in enumerate(rows):
        page.text(42, 116 + index * 12.4, name, 14, SONG_BOLD)
        page.text(76, 116 + index * 12.4, content, 14, SONG)
    page.text(120, 234, "登记机关", 14, SONG_BOLD)
    page.text(120, 246, "2026 年 3 月 2 日", 14, SONG)
    page.stamp(139, 238, 21, "示范市行政审批局", "登记专用章", -9)
    pattern = random.Random(44)
    for row in range(21):
        for column in range(21):
            corner = any(r <= row < r + 7 and c <= column < c + 7 for r, c in ((0, 0), (0, 14), (14, 0)))
            if corner:
                r, c = row % 14, column % 14
                dark = r in (0, 6) or c in (0, 6) or (2 <= r <= 4 and 2 <= c <= 4)
            else:
                dark = pattern.random() < 0.48
            if dark:
                x, y = mm(44) + column * 16, mm(222) + row * 16
                page.draw.rectangle((x, y, x + 15, y + 15), fill=BLACK)
    page.text(44 + 14, 256, "样例图案，不可扫读", 7.5, HEI, GREY, "ms")
    # Stamped at the counter on the copy.
    copy = Image.new("RGBA", (mm(52), mm(17)))
    pen = ImageDraw.Draw(copy)
    pen.rectangle((4, 4, copy.width - 5, copy.height - 5), outline=(40, 70, 160, 205), width=7)
    pen.text((copy.width / 2, copy.height * 0.34), "复印件与原件一致", font=font(13, *HEI_BOLD), fill=(40, 70, 160, 205), anchor="mm")
    pen.text((copy.width / 2, copy.height * 0.74), "样例窗口 03　2026-03-02", font=font(9, *HEI), fill=(40, 70, 160, 205), anchor="mm")
    copy = copy.rotate(4, Image.Resampling.BICUBIC, expand=True)
    page.image.paste(copy, (mm(70), mm(254)), copy)
    return page.scanned(0.7, noise=1)


def main():
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[2] / "Sources/CPages/Pages"
    folder.mkdir(parents=True, exist_ok=True)
    pages = ((application, 62), (declaration, 62), (fees, 62), (certificate, 56))
    for number, (make, quality) in enumerate(pages, 1):
        colour = make()
        for image, name in ((colour, f"page-{number}.jpg"), (colour.convert("L"), f"page-{number}-grey.jpg")):
            path = folder / name
            image.save(path, quality=quality, subsampling="4:2:0", optimize=True, dpi=(DPI, DPI))
            size = path.stat().st_size
            print(f"{name}  {image.width}×{image.height}  {image.mode}  {size} bytes")
            if size > 350_000:
                sys.exit(f"{name} is larger than 350 kB")


if __name__ == "__main__":
    main()
