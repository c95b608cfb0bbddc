# SPDX-License-Identifier: MIT OR Apache-2.0
"""The devices of mapwright for Python: one file that needs the standard library only. Copy it beside your program.

    import mapwright
    session = mapwright.Session()
    region = session.create(65536, backing="vmalloc", method="fault")
    memory = region.map()

Each call of the kernel that fails raises OSError, with the errno that the interface's documentation names.
"""
import ctypes
import fcntl
import mmap
import os

BACKINGS = ("kmalloc", "pages", "folio", "vmalloc", "coherent")
METHODS = ("remap", "insert", "fault", "fault-pfn", "huge", "vmalloc-remap", "dma", "huge-folio", "page-cache")
CACHINGS = ("wb", "wc", "uc")
MAP_CALLS = ("scatter", "scatter-pages", "single", "page")
ALLOCATORS = ("kmalloc", "kzalloc", "krealloc", "kvmalloc", "vmalloc", "vzalloc", "pages", "kmem_cache", "percpu", "coherent")
LEVELS = ("PGD", "P4D", "PUD", "PMD", "PTE")
CONTIGUOUS = 1
FOR_CPU, FOR_DEVICE = 1, 2
TO_DEVICE, FROM_DEVICE = 1, 2
RISING, FALLING = 1, 2
NO_ADDRESS = 2**64 - 1  # where the kernel has no address to give, or does not give it to this program


def fields(of, names):
    """Fields of one type of a structure."""
    return [(name, of) for name in names.split()]


def u32(names):
    return fields(ctypes.c_uint32, names)


def i32(names):
    return fields(ctypes.c_int32, names)


def u64(names):
    return fields(ctypes.c_uint64, names)


class Request(ctypes.Structure):
    """The structure of an ioctl. It begins with its size; what a program does not set is zero."""

    def __init__(self, **values):
        super().__init__(size=ctypes.sizeof(self), **values)


class Info(Request):
    NUMBER = 0xE700
    _fields_ = (u32("size version page_size session_regions") + u64("session_bytes total_bytes")
                + [("methods", ctypes.c_uint32 * 8)] + u32("cachings default_backing default_method default_caching"))


class Create(Request):
    NUMBER = 0xE701
    _fields_ = u32("size flags backing method caching reserved") + u64("bytes id offset")


class Destroy(Request):
    NUMBER = 0xE702
    _fields_ = u32("size flags") + u64("id")


class Query(Request):
    NUMBER = 0xE703
    _fields_ = (u32("size flags") + u64("id offset bytes") + u32("backing method caching address_class")
                + u64("runs longest_run vmas mmaps faults_read faults_write pages_faulted dma_addr"))


class PageInfo(ctypes.Structure):
    _fields_ = u64("pfn dma_addr")


class Pages(Request):
    NUMBER = 0xE704
    _fields_ = u32("size flags") + u64("id first count array")


class Sync(Request):
    NUMBER = 0xE705
    _fields_ = u32("size flags") + u64("id first bytes")


class AllocCost(ctypes.Structure):
    _fields_ = u64("ns empty_ns cycles empty_cycles")


class AllocRun(Request):
    NUMBER = 0xE721
    _fields_ = (u32("size flags allocator pattern gfp modifiers") + u64("bytes old_bytes")
                + u32("order cache_flags align") + i32("node") + u32("count batch") + u64("seed records")
                + u32("nr_records cache_number") + u64("allocated freed failed_memory failed_size")
                + u32("first_cpu last_cpu") + fields(AllocCost, "allocating freeing")
                + fields(ctypes.c_uint32 * 32, "allocating_histogram freeing_histogram"))


class DmaInfo(Request):
    NUMBER = 0xE720
    _fields_ = u32("size identification buffer_bytes address_bits interrupt translated coherent")


class Transfer(Request):
    NUMBER = 0xE721
    _fields_ = (u32("size flags") + u64("source source_offset target target_offset bytes")
                + u32("map_call eventfd") + u64("cookie"))


class DmaMap(Request):
    NUMBER = 0xE723
    _fields_ = u32("size flags") + u64("region first bytes") + u32("map_call direction") + u64("id bus") + u32("entries segments")


class DmaUnmap(Request):
    NUMBER = 0xE724
    _fields_ = u32("size flags") + u64("id")


class Export(Request):
    NUMBER = 0xE725
    _fields_ = u32("size flags") + u64("region first bytes") + u32("fd reserved")


class Import(Request):
    NUMBER = 0xE726
    _fields_ = u32("size flags fd reserved") + u64("id bytes")


class WalkLevel(ctypes.Structure):
    _fields_ = u32("level kind shift bits index flags") + u64("entry value")


class Walk(Request):
    NUMBER = 0xE740
    _fields_ = (u32("size flags pid nr_levels") + u64("address root register physical page_size counted")
                + u32("counted_errno memory_type") + i32("probe") + u32("reserved") + [("levels", WalkLevel * 5)])


class GpioInfo(Request):
    NUMBER = 0xE760
    _fields_ = u32("size mode revision outputs levels blinking leds requested")


class Outputs(Request):
    NUMBER = 0xE761
    _fields_ = u32("size set clear levels")


class Direction(Request):
    NUMBER = 0xE762
    _fields_ = u32("size line output reserved")


class Blink(Request):
    NUMBER = 0xE763
    _fields_ = u32("size line period reserved")


class Wait(Request):
    NUMBER = 0xE764
    _fields_ = u32("size line edges timeout nr_edges level")


class Watch(Request):
    NUMBER = 0xE765
    _fields_ = u32("size rising falling reserved")


class Events(Request):
    NUMBER = 0xE766
    _fields_ = u32("size rising falling levels")


class Node:
    """An open device. A with statement closes it."""

    def __init__(self, path, flags=os.O_RDWR):
        self.fd = os.open(path, flags)

    def fileno(self):
        return self.fd

    def close(self):
        os.close(self.fd)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def ask(self, request):
        """Makes an ioctl, and returns its structure with what the kernel wrote."""
        fcntl.ioctl(self.fd, request.NUMBER, request)
        return request


class Session(Node):
    """/dev/mapwright, or another device with regions. They are freed when it is closed and no longer mapped."""

    def __init__(self, path="/dev/mapwright", flags=os.O_RDWR):
        super().__init__(path, flags)

    def info(self):
        return self.ask(Info())

    def create(self, size, backing="pages", method="remap", caching="wb", flags=0):
        """A region. With the flag CONTIGUOUS it has one physical run, or there is none."""
        created = self.ask(Create(bytes=size, flags=flags, backing=BACKINGS.index(backing), method=METHODS.index(method),
                                  caching=CACHINGS.index(caching)))
        return Region(self, created)

    def export(self, region):
        """A DMA-buf of a whole region, of /dev/mapwright-dma0 or a Buffer: a file descriptor."""
        return self.ask(Export(region=region.id, bytes=region.bytes)).fd


class Region:
    """Memory of a session."""

    def __init__(self, session, created):
        self.session, self.id, self.offset, self.bytes = session, created.id, created.offset, created.bytes

    def map(self, prot=mmap.PROT_READ | mmap.PROT_WRITE):
        """The memory itself, in this program."""
        return mmap.mmap(self.session.fd, self.bytes, prot=prot, offset=self.offset)

    def read(self, size, at=0):
        """Bytes, through the kernel's own pointer."""
        return os.pread(self.session.fd, size, self.offset + at)

    def write(self, data, at=0):
        return os.pwrite(self.session.fd, data, self.offset + at)

    def query(self):
        return self.session.ask(Query(id=self.id))

    def frames(self):
        """The page frame number of each page. Needs CAP_SYS_ADMIN."""
        room = (PageInfo * (self.bytes // mmap.PAGESIZE))()
        reply = self.session.ask(Pages(id=self.id, count=len(room), array=ctypes.addressof(room)))
        return [page.pfn for page in room[:reply.count]]

    def sync(self, flags, first=0, size=None):
        self.session.ask(Sync(id=self.id, flags=flags, first=first, bytes=size or self.bytes - first))

    def destroy(self):
        self.session.ask(Destroy(id=self.id))


class Buffer(Session):
    """/dev/mapwright-NAME: a buffer that is there already, in memory."""

    def __init__(self, name, flags=os.O_RDWR):
        super().__init__("/dev/mapwright-" + name, flags)
        self.attributes = "/sys/class/misc/mapwright-" + name + "/"
        self.memory = Region(self, self.ask(Query()))

    def attribute(self, attribute):
        """What sysfs says: size, dma_addr, sync_owner and others."""
        with open(self.attributes + attribute) as file:
            return int(file.read(), 0)

    def tell(self, attribute, number):
        """Writes it: sync_offset, sync_size, sync_direction, sync_for_cpu, sync_for_device."""
        with open(self.attributes + attribute, "w") as file:
            file.write(str(number))


class DmaDevice(Session):
    """/dev/mapwright-dma0. None stands for the device's own buffer."""

    def __init__(self, path="/dev/mapwright-dma0"):
        super().__init__(path)

    def dma_info(self):
        return self.ask(DmaInfo())

    def transfer(self, source, target, size, call="scatter"):
        number = lambda side: side.id if side else 0
        self.ask(Transfer(source=number(source), target=number(target), bytes=size, map_call=MAP_CALLS.index(call)))

    def map_for_device(self, region, direction, call="scatter"):
        """Maps a whole region until it is unmapped; its number is in the answer's field id."""
        return self.ask(DmaMap(region=region.id, bytes=region.bytes, map_call=MAP_CALLS.index(call), direction=direction))

    def unmap_for_device(self, number):
        self.ask(DmaUnmap(id=number))

    def import_buffer(self, fd):
        """A DMA-buf, which transfers can name."""
        return self.ask(Import(fd=fd))


class Bank(Node):
    """/dev/mapwright-gpio0: 32 lines. In masks, a line is the bit of its number."""

    def __init__(self, path="/dev/mapwright-gpio0", flags=os.O_RDWR):
        super().__init__(path, flags)

    def info(self):
        return self.ask(GpioInfo())

    def set_outputs(self, high=0, low=0):
        """Makes outputs high and low. Returns the levels of all lines."""
        return self.ask(Outputs(set=high, clear=low)).levels

    def direction(self, line, output):
        self.ask(Direction(line=line, output=int(output)))

    def blink(self, line, hz):
        self.ask(Blink(line=line, period=round(1_000_000 / hz)))

    def stop(self, line):
        self.ask(Blink(line=line))

    def wait(self, line, edges=RISING, timeout_ms=0):
        return self.ask(Wait(line=line, edges=edges, timeout=timeout_ms))

    def watch(self, rising=0, falling=0):
        """Has select.poll() tell of these edges; events() says which."""
        self.ask(Watch(rising=rising, falling=falling))

    def events(self):
        return self.ask(Events())


class Inspector(Node):
    """/dev/mapwright-inspect. Needs CAP_SYS_ADMIN."""

    def __init__(self):
        super().__init__("/dev/mapwright-inspect")

    def walk(self, address, pid=0):
        return self.ask(Walk(pid=pid, address=address))


class Allocators(Node):
    """/dev/mapwright-alloc."""

    def __init__(self):
        super().__init__("/dev/mapwright-alloc")

    def run(self, allocator, size, count):
        """Allocates and frees count objects, one after the other."""
        return self.ask(AllocRun(allocator=ALLOCATORS.index(allocator), bytes=size, count=count, node=-1))
