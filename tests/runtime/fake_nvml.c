/* A stand-in for libnvidia-ml.so.1, so that the real pynvml runs without a driver.
   Environment: FAKE_NO_DRIVER, FAKE_MIG, FAKE_CUDA (such as 13000), FAKE_CAPABILITY (such as 90),
   FAKE_REASONS (bits), FAKE_PROCESSES, FAKE_COUNT (GPUs). A handle is the number of a GPU, from 1. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OK = 0, NOT_SUPPORTED = 3, NOT_FOUND = 6, TOO_SMALL = 7, NO_DRIVER = 9, INVALID = 2 };
typedef struct { unsigned long long total, free, used; } Memory;

static int number(const char *name, int otherwise)
{
    const char *text = getenv(name);
    return text ? atoi(text) : otherwise;
}

int nvmlInitWithFlags(unsigned flags) { return getenv("FAKE_NO_DRIVER") ? NO_DRIVER : OK; }
int nvmlInit_v2(void) { return nvmlInitWithFlags(0); }
int nvmlShutdown(void) { return OK; }
const char *nvmlErrorString(int code) { return "fake"; }
int nvmlDeviceGetCount_v2(unsigned *count) { *count = number("FAKE_COUNT", 1); return OK; }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **handle)
{
    *handle = (void *)(index + 1ul);
    return OK;
}
int nvmlDeviceGetIndex(void *handle, unsigned *index) { *index = (unsigned)(unsigned long)handle - 1; return OK; }
int nvmlDeviceGetUUID(void *handle, char *uuid, unsigned length)
{
    snprintf(uuid, length, "GPU-12345678-1234-1234-1234-%012lu", (unsigned long)handle - 1);
    return OK;
}
int nvmlDeviceGetHandleByUUID(const char *uuid, void **handle)
{
    if (strncmp(uuid, "GPU-", 4) || strlen(uuid) != 40) return INVALID;
    if (getenv("FAKE_MIG")) return NOT_FOUND;
    *handle = (void *)(1 + strtoul(uuid + 28, 0, 10) % 100);
    return OK;
}
int nvmlDeviceGetPerformanceState(void *handle, int *state) { *state = 0; return OK; }
int nvmlDeviceGetName(void *handle, char *name, unsigned length)
{
    strncpy(name, "NVIDIA H100 80GB HBM3", length);
    return OK;
}
int nvmlSystemGetDriverVersion(char *version, unsigned length)
{
    strncpy(version, "570.86.15", length);
    return OK;
}
int nvmlSystemGetCudaDriverVersion(int *version) { *version = number("FAKE_CUDA", 13000); return OK; }
int nvmlDeviceGetCudaComputeCapability(void *handle, int *major, int *minor)
{
    int both = number("FAKE_CAPABILITY", 90);
    *major = both / 10;
    *minor = both % 10;
    return OK;
}
int nvmlDeviceGetClockInfo(void *handle, int kind, unsigned *mhz) { *mhz = kind == 1 ? 1980 : 0; return OK; }
int nvmlDeviceGetMaxClockInfo(void *handle, int kind, unsigned *mhz) { *mhz = 1980; return OK; }
int nvmlDeviceGetPowerUsage(void *handle, unsigned *mw) { *mw = 350000; return OK; }
int nvmlDeviceGetEnforcedPowerLimit(void *handle, unsigned *mw) { *mw = 700000; return OK; }
int nvmlDeviceGetTemperature(void *handle, int sensor, unsigned *celsius) { *celsius = 55; return OK; }
int nvmlDeviceGetPersistenceMode(void *handle, int *mode) { *mode = 1; return OK; }
int nvmlDeviceGetMaxPcieLinkGeneration(void *handle, unsigned *generation) { *generation = 5; return OK; }
int nvmlDeviceGetMaxPcieLinkWidth(void *handle, unsigned *width) { *width = 16; return OK; }
int nvmlDeviceGetEccMode(void *handle, int *now, int *pending) { *now = *pending = 1; return OK; }
int nvmlDeviceGetMigMode(void *handle, unsigned *now, unsigned *pending)
{
    *now = *pending = getenv("FAKE_MIG") != 0;
    return OK;
}
int nvmlDeviceGetApplicationsClock(void *handle, int kind, unsigned *mhz) { return NOT_SUPPORTED; }
int nvmlDeviceGetMemoryInfo(void *handle, Memory *memory)
{
    memory->total = 80ull << 30;
    memory->used = 2500000000ull;
    memory->free = memory->total - memory->used;
    return OK;
}
int nvmlDeviceGetCurrentClocksEventReasons(void *handle, unsigned long long *bits)
{
    *bits = number("FAKE_REASONS", 0);
    return OK;
}
int nvmlDeviceGetTotalEnergyConsumption(void *handle, unsigned long long *mj)
{
    static unsigned long long total = 5000000;
    *mj = total += 60000;
    return OK;
}
int nvmlDeviceGetComputeRunningProcesses_v3(void *handle, unsigned *count, void *processes)
{
    unsigned there = number("FAKE_PROCESSES", 1), room = *count;
    *count = there;
    if (room < there) return TOO_SMALL;
    memset(processes, 0, 24 * there);
    return OK;
}
